//! The server's own counters, out of its Prometheus text.

use crate::http::{Connection, JoinError};
use hyper::{Method, Uri};
use std::collections::BTreeMap;

/// Counters by name and labels, as they are written.
pub type Counters = BTreeMap<String, f64>;

/// What the server's counters say now.
pub async fn fetch(url: &Uri) -> Result<Counters, JoinError> {
    let mut connection = Connection::open(url).await?;
    let (_, text) = connection.send(Method::GET, url, String::new()).await?;
    Ok(read(&text))
}

/// The samples of counters and of histograms; gauges do not grow.
fn read(text: &str) -> Counters {
    let mut kind = "";
    let mut counters = Counters::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.split_ascii_whitespace().nth(1).unwrap_or_default();
        } else if matches!(kind, "counter" | "histogram")
            && !line.starts_with('#')
            // Labels may hold spaces; of a time stamp, which may follow the value, nobody makes use.
            && let Some((labels, rest)) = line.split_at_checked(line.rfind('}').map_or(0, |at| at + 1))
            && let Some((name, value)) = rest.split_once(' ')
            && let Some(Ok(value)) = value.split(' ').next().map(str::parse)
        {
            counters.insert(format!("{labels}{name}"), value);
        }
    }
    counters
}

/// By how much each grew; those that did not are left out.
pub fn growth(before: &Counters, after: &Counters) -> Counters {
    let grown = after.iter().map(|(name, value)| {
        let before = before.get(name).copied().unwrap_or_default();
        (name.clone(), value - before)
    });
    grown.filter(|(_, by)| *by != 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_histograms_are_read_and_compared() {
        let before = read(
            "# HELP a Frames.\n# TYPE a counter\na_total{s=\"x } y\"} 5\na_total{s=\"z\"} 7 1234\n\
             # TYPE g gauge\ng 9\n# TYPE h histogram\nh_sum 0.5\nh_bucket{le=\"+Inf\"} 3\n# EOF\n",
        );
        let names: Vec<_> = before.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "a_total{s=\"x } y\"}",
                "a_total{s=\"z\"}",
                "h_bucket{le=\"+Inf\"}",
                "h_sum"
            ]
        );
        let mut after = before.clone();
        after.insert("h_sum".to_owned(), 0.75);
        after.insert("new".to_owned(), 2.0);
        let growth = growth(&before, &after);
        assert_eq!(
            growth,
            Counters::from([("h_sum".to_owned(), 0.25), ("new".to_owned(), 2.0)])
        );
    }
}
