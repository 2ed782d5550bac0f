//! Public links: the URL by which the client reaches this service, and links to next pages.
//!
//! The base is the operator's `public_endpoint` if there is one, else what the request itself says (`Host`), unless a trusted proxy
//! says otherwise (`forwarded`). Cinder: `api/common.py` (`ViewBuilder`), oslo.middleware `http_proxy_to_wsgi`.

use actix_web::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::connection::{Encrypted, ListeningOn};
use super::forwarded::Forwarded;
use super::trusted_proxies::TrustedProxies;

/// How links begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// The configured URL by which clients reach this service; it overrides the request.
    pub public_endpoint: Option<String>,
    /// Whether the headers of a proxy are used: of a trusted one (`ServerState::trusted_proxies`), or, if none is
    /// configured, of one on this machine.
    pub proxy_headers: bool,
}

impl LinkOptions {
    /// `http://host:port`, or `https://…` over TLS, with the prefix that a proxy adds, if any; without a trailing slash. If no trusted proxy is configured,
    /// one on this machine is trusted.
    pub fn base_url(&self, trusted: &TrustedProxies, request: &HttpRequest) -> String {
        if let Some(endpoint) = &self.public_endpoint {
            return endpoint
                .trim_end_matches('/')
                .trim_end_matches("/v3")
                .trim_end_matches('/')
                .to_owned();
        }
        let forwarded = match self.proxy_headers && is_from_proxy(trusted, request) {
            true => Forwarded::of(request.headers()),
            false => Forwarded::default(),
        };
        let own = match request.conn_data::<Encrypted>() {
            Some(Encrypted) => "https",
            None => "http",
        };
        let host = forwarded.host.unwrap_or_else(|| host(request));
        let scheme = forwarded.scheme.unwrap_or(own);
        format!("{scheme}://{host}{}", forwarded.prefix.unwrap_or_default())
    }
}

/// Whether the connection is from a trusted proxy.
fn is_from_proxy(trusted: &TrustedProxies, request: &HttpRequest) -> bool {
    if !trusted.0.is_empty() {
        return trusted.sent(request);
    }
    request
        .peer_addr()
        .is_some_and(|address| address.ip().to_canonical().is_loopback())
}

/// The host that the client named; a client of HTTP/1.0 may have named none, then the local address.
fn host(request: &HttpRequest) -> String {
    let named = request
        .headers()
        .get("host")
        .and_then(|value| value.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    match (named, request.conn_data::<ListeningOn>()) {
        (Some(named), _) => named.to_owned(),
        (None, Some(ListeningOn(address))) => address.to_string(),
        (None, None) => "localhost".to_owned(),
    }
}

/// The project in `/v3/{project_id}/…`, if the path has one: hexadecimal digits and dashes (cinder: `project_id_regex`).
pub fn path_project(path: &str) -> Option<&str> {
    let segment = path.strip_prefix("/v3/")?.split('/').next()?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    (!segment.is_empty() && segment.bytes().all(plain)).then_some(segment)
}

/// The characters that `urllib.parse.urlencode` does not encode.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// Encodes a query as Python's `urlencode` does: a space is `+`.
pub fn encode_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string().replace("%20", "+");
    let pairs: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Decodes a query as browsers and Python write it. Invalid UTF-8 is replaced.
pub fn decode_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The query of the next page: the original query, with `marker` set to the last id shown.
pub fn next_query(query: &str, last_id: &str) -> String {
    let mut parameters = decode_query(query);
    let mut found = false;
    parameters.retain_mut(|(name, value)| {
        if name != "marker" {
            return true;
        }
        last_id.clone_into(value);
        !std::mem::replace(&mut found, true)
    });
    if !found {
        parameters.push(("marker".to_owned(), last_id.to_owned()));
    }
    encode_query(
        parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    )
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    fn base(options: &LinkOptions, peer: &str, headers: &[(&str, &str)]) -> String {
        let mut request = TestRequest::default().peer_addr(format!("{peer}:4711").parse().unwrap());
        for header in headers {
            request = request.append_header(*header);
        }
        options.base_url(&TrustedProxies::default(), &request.to_http_request())
    }

    #[test]
    fn links_begin_as_the_client_reaches_us() {
        let headers = [
            ("Host", "inner:8776"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "cloud.example"),
            ("X-Forwarded-Prefix", "/volume"),
        ];
        let mut options = LinkOptions::default();
        assert_eq!(base(&options, "127.0.0.1", &headers), "http://inner:8776");
        options.proxy_headers = true;
        assert_eq!(
            base(&options, "127.0.0.1", &headers),
            "https://cloud.example/volume"
        );
        // No proxy is configured.
        assert_eq!(base(&options, "192.0.2.1", &headers), "http://inner:8776");
        assert_eq!(base(&options, "127.0.0.1", &headers[..1]), "http://inner:8776");
        for endpoint in [
            "https://cloud/volume/",
            "https://cloud/volume/v3/",
            "https://cloud/volume",
        ] {
            options.public_endpoint = Some(endpoint.to_owned());
            assert_eq!(base(&options, "127.0.0.1", &headers), "https://cloud/volume");
        }
    }

    #[test]
    fn a_named_proxy_is_believed_and_no_other() {
        let options = LinkOptions {
            proxy_headers: true,
            ..LinkOptions::default()
        };
        let trusted = TrustedProxies(vec!["192.0.2.0/24".parse().unwrap()]);
        let base = |peer: &str| {
            let request = TestRequest::default()
                .peer_addr(format!("{peer}:1").parse().unwrap())
                .insert_header(("Host", "inner"))
                .insert_header(("Forwarded", "host=outer;proto=https"));
            options.base_url(&trusted, &request.to_http_request())
        };
        assert_eq!(base("192.0.2.7"), "https://outer");
        assert_eq!(base("127.0.0.1"), "http://inner");
    }

    #[test]
    fn a_project_in_the_path_is_hexadecimal() {
        assert_eq!(path_project("/v3/0a-9f/volumes"), Some("0a-9f"));
        assert_eq!(path_project("/v3/0a9f"), Some("0a9f"));
        for path in ["/v3/volumes/0a", "/v3/", "/v3//volumes", "/v4/0a/volumes"] {
            assert_eq!(path_project(path), None, "{path}");
        }
    }

    #[test]
    fn the_next_page_keeps_what_was_asked_for() {
        for (query, next) in [
            ("limit=1", "limit=1&marker=b"),
            ("offset=1&marker=a&limit=1", "offset=1&marker=b&limit=1"),
            ("", "marker=b"),
            (
                "name=a+b%26c&sort=name:asc",
                "name=a+b%26c&sort=name%3Aasc&marker=b",
            ),
        ] {
            assert_eq!(next_query(query, "b"), next, "{query}");
        }
    }

    proptest! {
        #[test]
        fn a_query_survives_encoding(pairs in proptest::collection::vec((".{1,8}", ".{0,8}"), 0..5)) {
            let text = encode_query(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(decode_query(&text), pairs);
        }

        #[test]
        fn the_next_page_has_one_marker(query in "[a-c=&%+]{0,20}(&marker=x){0,2}") {
            let next = decode_query(&next_query(&query, "LAST"));
            let markers: Vec<_> = next.iter().filter(|(name, _)| name == "marker").collect();
            prop_assert_eq!(markers.len(), 1);
            prop_assert_eq!(&markers[0].1, "LAST");
        }

        #[test]
        fn any_path_is_looked_at_without_panic(path in ".*") {
            let _ = path_project(&path);
        }
    }
}
