//! The two formats of an exposition: negotiation, and the conversion of OpenMetrics to Prometheus' text.

use std::fmt::Write;

/// A format that scrapers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4, which every scraper reads.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The value of the header `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    const fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain", "0.0.4"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }

    /// The format that the values of `Accept` ask for (RFC 9110, 12.5.1): OpenMetrics if they prefer it, or name it more exactly
    /// at the same quality. A scraper that takes neither gets the text, which is better than nothing.
    pub fn accepted(accept: &str) -> Self {
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let text = wish(&ranges, Self::Text);
        let open = wish(&ranges, Self::OpenMetrics);
        if open.0 > 0 && open > text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// How much a format is wished for: in thousandths, and how exactly it is named.
fn wish(ranges: &[Range<'_>], format: Format) -> (u16, u8) {
    let matching = ranges.iter().filter_map(|range| {
        let exactness = range.names(format)?;
        Some((exactness, range.quality))
    });
    // The most exact range counts, whatever quality others have.
    let (exactness, quality) = matching
        .max_by_key(|(exactness, _)| *exactness)
        .unwrap_or((0, 0));
    (quality, exactness)
}

/// A media range of `Accept`.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let (mut version, mut quality) = (None, 1000);
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                name if name.eq_ignore_ascii_case("q") => quality = thousandths(value)?,
                name if name.eq_ignore_ascii_case("version") => {
                    version = Some(value.trim().trim_matches('"'));
                }
                _ => {}
            }
        }
        Some(Self {
            kind,
            subtype,
            version,
            quality,
        })
    }

    /// How exactly it names a format, from 1; `None` if it does not.
    fn names(&self, format: Format) -> Option<u8> {
        let (kind, subtype, version) = format.media_type();
        let is = |range: &str, own: &str| range.eq_ignore_ascii_case(own);
        match (self.kind, self.subtype, self.version) {
            ("*", "*", _) => Some(1),
            (k, "*", _) if is(k, kind) => Some(2),
            (k, s, None) if is(k, kind) && is(s, subtype) => Some(3),
            (k, s, Some(v)) if is(k, kind) && is(s, subtype) && v == version => Some(4),
            _ => None,
        }
    }
}

/// A quality (RFC 9110, 12.4.2), if it is one.
fn thousandths(text: &str) -> Option<u16> {
    let quality: f32 = text.trim().parse().ok()?;
    (0.0..=1.0)
        .contains(&quality)
        .then(|| (quality * 1000.0).round() as u16)
}

/// Makes Prometheus' text of an OpenMetrics exposition without exemplars and creation times: metadata bears the name that the
/// samples have, there are no infos and no units, and no end is marked.
pub fn to_text(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        match line.strip_prefix("# ") {
            None => {
                out.push_str(line);
                out.push('\n');
            }
            Some(metadata) => match metadata.split_once(' ') {
                Some(("HELP", rest)) => help = rest.split_once(' ').map_or("", |(_, help)| help),
                Some(("TYPE", rest)) => describe(&mut out, rest, help),
                _ => {}
            },
        }
    }
    out
}

fn describe(out: &mut String, name_and_type: &str, help: &str) {
    let (name, kind) = name_and_type
        .rsplit_once(' ')
        .unwrap_or((name_and_type, ""));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "info" => ("_info", "gauge"),
        "unknown" => ("", "untyped"),
        kind => ("", kind),
    };
    // Writing to a `String` can't fail.
    let _ = write!(
        out,
        "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        use Format::{OpenMetrics, Text};
        for (accept, format) in [
            ("", Text),
            ("*/*", Text),
            ("text/plain", Text),
            ("text/html, */*;q=0.1", Text),
            ("application/json", Text),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=1.0.0", OpenMetrics),
            (
                "application/openmetrics-text;version=\"1.0.0\"",
                OpenMetrics,
            ),
            // As Prometheus asks.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
                 application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 text/plain;version=1.0.0;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // A version that there is not, a quality of none, and one that is worse.
            ("application/openmetrics-text;version=2.0.0", Text),
            (
                "application/openmetrics-text;version=0.0.1,text/plain;q=0.1",
                Text,
            ),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=0, */*", Text),
            ("application/openmetrics-text;q=0.5, text/plain;q=0.6", Text),
            (
                "application/openmetrics-text;q=0.5, text/plain;q=0.4",
                OpenMetrics,
            ),
            (
                "text/plain;q=0.001, application/openmetrics-text;q=0.002",
                OpenMetrics,
            ),
            ("application/openmetrics-text, text/plain", Text),
            ("application/openmetrics-text, */*", OpenMetrics),
            ("application/*, text/*;q=0.9", OpenMetrics),
            // An entry that is no media range asks for nothing.
            ("application/openmetrics-text;q=2", Text),
            ("application/openmetrics-text;q=x", Text),
            ("openmetrics-text", Text),
            (",;=,/", Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn open_metrics_becomes_text() {
        let open = "# HELP a_build The version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP b_seconds How long.\n# TYPE b_seconds counter\n# UNIT b_seconds seconds\nb_seconds_total 2.5\n\
            # HELP c How many.\n# TYPE c gauge\nc{d=\"# EOF\"} 3\n\
            # HELP e_seconds Times.\n# TYPE e_seconds histogram\n# UNIT e_seconds seconds\ne_seconds_sum 0\n# EOF\n";
        let text = "# HELP a_build_info The version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP b_seconds_total How long.\n# TYPE b_seconds_total counter\nb_seconds_total 2.5\n\
            # HELP c How many.\n# TYPE c gauge\nc{d=\"# EOF\"} 3\n\
            # HELP e_seconds Times.\n# TYPE e_seconds histogram\ne_seconds_sum 0\n";
        assert_eq!(to_text(open), text);
    }
}
