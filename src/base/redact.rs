//! Text for messages, without the secrets that users write into it.

/// The same text without the user and the password of a URL (RFC 3986, 3.2.1).
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    // A password may have any character, so the last @ ends it.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_a_url_is_left_out_and_all_else_stays() {
        for (text, shown) in [
            ("rtsp://eva:p@ss/w@cam.lan:554/1", "rtsp://…@cam.lan:554/1"),
            ("http://cam.lan/1", "http://cam.lan/1"),
            ("name:me@home", "name:me@home"),
            ("", ""),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
