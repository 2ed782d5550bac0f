//! Public links: how the client reaches us, and how what it asked for continues.
//!
//! The base is the operator's `public_endpoint` if there is one, else what the request itself says (`Host`), else, only
//! behind a proxy that the operator trusts, what the proxy says (`X-Forwarded-Proto`, `X-Forwarded-Host`). Cinder:
//! `api/common.py` (`ViewBuilder`), oslo.middleware `http_proxy_to_wsgi`.

use actix_web::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Where links begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkOptions {
    /// The URL that clients reach us by, if the operator knows better than the request.
    pub public_endpoint: Option<String>,
    /// Whether `X-Forwarded-*` headers are believed. Only behind a proxy that sets them itself.
    pub proxy_headers: bool,
}

impl LinkOptions {
    /// `http://host:port`, without a slash at its end.
    #[must_use]
    pub fn base_url(&self, request: &HttpRequest) -> String {
        let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let host = text("host").or_else(|| request.uri().authority().map(|authority| authority.as_str()));
        let forwarded = |name: &str| if self.proxy_headers { text(name) } else { None };
        base_url(
            self.public_endpoint.as_deref(),
            host.unwrap_or_else(|| request.app_config().host()),
            forwarded("x-forwarded-proto"),
            forwarded("x-forwarded-host"),
        )
    }
}

/// The base of links. Of a forwarded list the **last** entry counts (cinder: `get_request_url`): the nearest proxy wrote it.
#[must_use]
pub fn base_url(
    public_endpoint: Option<&str>,
    host: &str,
    forwarded_proto: Option<&str>,
    forwarded_host: Option<&str>,
) -> String {
    if let Some(endpoint) = public_endpoint {
        return endpoint
            .trim_end_matches('/')
            .trim_end_matches("/v3")
            .trim_end_matches('/')
            .to_owned();
    }
    let last = |list: Option<&str>| {
        list.and_then(|list| list.rsplit(',').next())
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(str::to_owned)
    };
    let scheme = last(forwarded_proto)
        .filter(|scheme| scheme.eq_ignore_ascii_case("https"))
        .map_or("http", |_| "https");
    let host = last(forwarded_host).unwrap_or_else(|| host.to_owned());
    format!("{scheme}://{host}")
}

/// The project in `/v3/{project_id}/…`, if the path has one: hexadecimal digits and dashes (cinder: `project_id_regex`).
#[must_use]
pub fn path_project(path: &str) -> Option<&str> {
    let segment = path.strip_prefix("/v3/")?.split('/').next()?;
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte) || byte == b'-';
    (!segment.is_empty() && segment.bytes().all(plain)).then_some(segment)
}

/// What `urllib.parse.urlencode` leaves as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b'.')
    .remove(b'-')
    .remove(b'~');

/// Encodes a query as Python's `urlencode` does: a space is `+`.
#[must_use]
pub fn encode_query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encode = |text: &str| utf8_percent_encode(text, QUERY).to_string().replace("%20", "+");
    let pairs: Vec<String> = parameters
        .into_iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Reads a query as browsers and Python write it. Text that is not UTF-8 is taken as far as it is.
#[must_use]
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

/// The query of the next page: all that was asked for, with `marker` set to the last id shown.
#[must_use]
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links_begin_as_the_client_reaches_us() {
        assert_eq!(
            base_url(None, "localhost:8776", None, None),
            "http://localhost:8776"
        );
        assert_eq!(
            base_url(None, "a", Some("https"), Some("x.org, y.org:443")),
            "https://y.org:443"
        );
        assert_eq!(base_url(None, "a", Some("gopher"), Some("")), "http://a");
        assert_eq!(
            base_url(Some("https://cloud/volume/"), "a", None, Some("evil")),
            "https://cloud/volume"
        );
        assert_eq!(
            base_url(Some("https://cloud/v3/"), "a", None, None),
            "https://cloud"
        );
    }

    #[test]
    fn a_project_in_the_path_is_hexadecimal() {
        assert_eq!(path_project("/v3/0a-9f/volumes"), Some("0a-9f"));
        assert_eq!(path_project("/v3/0a9f"), Some("0a9f"));
        assert_eq!(path_project("/v3/volumes/0a"), None);
        assert_eq!(path_project("/v3/"), None);
        assert_eq!(path_project("/v3//volumes"), None);
        assert_eq!(path_project("/v4/0a/volumes"), None);
    }

    #[test]
    fn the_next_page_keeps_what_was_asked_for() {
        assert_eq!(next_query("limit=1", "b"), "limit=1&marker=b");
        assert_eq!(
            next_query("offset=1&marker=a&limit=1", "b"),
            "offset=1&marker=b&limit=1"
        );
        assert_eq!(next_query("", "b"), "marker=b");
        assert_eq!(
            next_query("name=a+b%26c&sort=name:asc", "b"),
            "name=a+b%26c&sort=name%3Aasc&marker=b"
        );
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
        fn a_base_never_ends_in_a_slash(endpoint in proptest::option::of("https?://[a-z]{1,5}(:[0-9]{2})?(/[a-z0-9]{1,3}){0,2}/{0,2}"), host in "[a-z.]{1,9}") {
            prop_assert!(!base_url(endpoint.as_deref(), &host, None, None).ends_with('/'));
        }

        #[test]
        fn any_path_is_looked_at_without_panic(path in ".*") {
            let _ = path_project(&path);
        }
    }
}
