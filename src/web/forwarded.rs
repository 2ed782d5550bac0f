//! The URL by which a proxy was called, from its headers: `Forwarded` (RFC 7239), or the older `X-Forwarded-Proto` and `-Host`,
//! and `X-Forwarded-Prefix` beside either (oslo.middleware: `http_proxy_to_wsgi`).
//!
//! If `Forwarded` is present, the older two are ignored. Of its hops the first is used, as in oslo: the one that the client called.
//! Of the older lists the last is used (cinder: `get_request_url`). A value that has not the form of a scheme, a host or a path is
//! ignored: it would end up in every link.

use actix_web::http::header::HeaderMap;

/// The forwarded parts of the URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// `http` or `https`.
    pub scheme: Option<&'static str>,
    /// The host, with its port if it has one.
    pub host: Option<String>,
    /// The path prefix of this service, without a trailing slash.
    pub prefix: Option<String>,
}

impl Forwarded {
    /// Reads a request's headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let last = |name: &str| text(name).and_then(|list| list.rsplit(',').next());
        let hop = headers
            .get("forwarded")
            .map(|value| first_hop(value.to_str().unwrap_or_default()));
        let (scheme, host) = match &hop {
            Some((scheme, host)) => (scheme.as_deref(), host.as_deref()),
            None => (last("x-forwarded-proto"), last("x-forwarded-host")),
        };
        Self {
            scheme: scheme.and_then(known_scheme),
            host: host.and_then(known_host),
            prefix: text("x-forwarded-prefix").and_then(known_prefix),
        }
    }
}

/// The `proto` and `host` of the first hop.
fn first_hop(text: &str) -> (Option<String>, Option<String>) {
    let (mut proto, mut host) = (None, None);
    for pair in split_outside_quotes(text, ',')
        .next()
        .into_iter()
        .flat_map(|hop| split_outside_quotes(hop, ';'))
    {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "proto" => &mut proto,
            "host" => &mut host,
            _ => continue,
        };
        *slot = Some(unquoted(value.trim()));
    }
    (proto, host)
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |found: char| {
        let is_separator = found == separator && !quoted;
        match found {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        is_separator
    })
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut escaped = false;
    inner
        .chars()
        .filter(|found| {
            escaped = *found == '\\' && !escaped;
            !escaped
        })
        .collect()
}

fn known_scheme(text: &str) -> Option<&'static str> {
    let text = text.trim();
    ["https", "http"]
        .into_iter()
        .find(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// Accepts a name or an address with an optional port.
fn known_host(text: &str) -> Option<String> {
    let authority: actix_web::http::uri::Authority = text.trim().parse().ok()?;
    let is_bare = !authority.as_str().contains('@') && !authority.host().is_empty();
    let port = authority
        .as_str()
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let port_is_good = port.is_none() || authority.port_u16().is_some();
    (is_bare && port_is_good).then(|| authority.to_string())
}

/// Accepts a path such as `/a/b` that needs no encoding in a URL.
fn known_prefix(text: &str) -> Option<String> {
    let path = text.trim().trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%:@!$&'()*+=".contains(&byte);
    let is_path = path.starts_with('/') && !path.starts_with("//") && path.bytes().all(is_plain);
    is_path.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn of(headers: &[(&str, &str)]) -> (String, String, String) {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header(*header);
        }
        let found = Forwarded::of(request.to_http_request().headers());
        let text = |found: Option<String>| found.unwrap_or_default();
        (
            text(found.scheme.map(str::to_owned)),
            text(found.host),
            text(found.prefix),
        )
    }

    fn parts(scheme: &str, host: &str, prefix: &str) -> (String, String, String) {
        (scheme.to_owned(), host.to_owned(), prefix.to_owned())
    }

    #[test]
    fn both_kinds_of_headers_are_understood() {
        assert_eq!(of(&[]), parts("", "", ""));
        let old = [
            ("X-Forwarded-Proto", "HTTPS"),
            ("X-Forwarded-Host", "x.org, y.org:443"),
            ("X-Forwarded-Prefix", "/volume/"),
        ];
        assert_eq!(of(&old), parts("https", "y.org:443", "/volume"));
        let new = [(
            "Forwarded",
            "for=192.0.2.1;Proto=https; host=api.example.org, for=192.0.2.2;host=inner",
        )];
        assert_eq!(of(&new), parts("https", "api.example.org", ""));
        let both = [old[0], old[1], old[2], ("Forwarded", "host=z.org")];
        assert_eq!(of(&both), parts("", "z.org", "/volume"));
        let quoted = [(
            "Forwarded",
            r#"for="[2001:db8::1]:4711";host="[2001:db8::2]:8443";proto="http""#,
        )];
        assert_eq!(of(&quoted), parts("http", "[2001:db8::2]:8443", ""));
        let tricky = [("Forwarded", r#"by="a,b;host=evil";host="c\.org""#)];
        assert_eq!(of(&tricky), parts("", "c.org", ""));
    }

    #[test]
    fn what_has_no_such_form_is_not_used() {
        for (name, value) in [
            ("X-Forwarded-Proto", "gopher"),
            ("X-Forwarded-Proto", ""),
            ("X-Forwarded-Host", ""),
            ("X-Forwarded-Host", "a b"),
            ("X-Forwarded-Host", "me@evil.org"),
            ("X-Forwarded-Host", "evil.org/path"),
            ("X-Forwarded-Host", "a:port"),
            ("X-Forwarded-Host", "[::1"),
            ("X-Forwarded-Prefix", "volume"),
            ("X-Forwarded-Prefix", "//evil.org"),
            ("X-Forwarded-Prefix", "/a, /b"),
            ("X-Forwarded-Prefix", "/a?b"),
            ("X-Forwarded-Prefix", "/a\"b"),
            ("Forwarded", "host"),
            ("Forwarded", "host=\"evil.org"),
            ("Forwarded", "host=;proto="),
            ("Forwarded", ";,;=\"\\"),
        ] {
            assert_eq!(of(&[(name, value)]), parts("", "", ""), "{name}: {value}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(text in "\\PC{0,40}") {
            let _ = first_hop(&text);
            let _ = (known_host(&text), known_prefix(&text), known_scheme(&text));
        }
    }
}
