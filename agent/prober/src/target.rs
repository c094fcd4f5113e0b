//! What is asked by HTTP: a URL, and where a redirect leads from it.

use barepod_prober_wire::HttpGet;
use url::Url;

/// A URL of `http` or `https`, with what is asked of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    url: Url,
    /// Host and port as they were written.
    authority: String,
    /// The `Host` that the manifest gives, in place of the authority.
    host_header: Option<String>,
}

impl Target {
    /// Of a request as the manifest has it.
    ///
    /// # Errors
    /// The host is none.
    pub(crate) fn new(get: &HttpGet) -> Result<Self, String> {
        let scheme = if get.tls { "https" } else { "http" };
        let port = u16::try_from(get.port).map_err(|_| format!("{} is no port", get.port))?;
        let authority = authority(&get.host, Some(port));
        let mut url = Url::parse(&format!("{scheme}://{authority}/"))
            .map_err(|error| format!("{:?} is no host: {error}", get.host))?;
        let path = get.path.split_once('#').map_or(get.path.as_str(), |(path, _)| path);
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(path);
        url.set_query(query);
        let given = get.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
        let host_header = given.map(|header| header.value.clone()).filter(|value| !value.is_empty());
        Ok(Self { url, authority, host_header })
    }

    /// The same without TLS.
    pub(crate) fn without_tls(mut self) -> Self {
        // Cannot fail: both schemes have hosts.
        self.url.set_scheme("http").ok();
        self
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Name or address, an IPv6 address without brackets.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Host and port as they were written.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// What the request's `Host` is.
    pub(crate) fn host_header(&self) -> &str {
        self.host_header.as_deref().unwrap_or(&self.authority)
    }

    /// Path and query.
    pub(crate) fn path(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }

    /// The URL, as texts show it.
    pub(crate) fn text(&self) -> String {
        format!("{}://{}{}", self.url.scheme(), self.authority, self.path())
    }

    /// Where a `Location` leads from here. The manifest's `Host` goes along where that is relative, as with Go's client.
    ///
    /// # Errors
    /// It is no URL.
    pub(crate) fn join(&self, location: &str) -> Result<Self, String> {
        let failed = |error| format!("failed to parse Location header {location:?}: {error}");
        let url = self.url.join(location).map_err(failed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("unsupported protocol scheme \"{}\"", url.scheme()));
        }
        let is_absolute = Url::parse(location).is_ok();
        let same_place = url.origin() == self.url.origin() && !is_absolute;
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let authority = if same_place { self.authority.clone() } else { authority(host, url.port()) };
        Ok(Self { url, authority, host_header: self.host_header.clone().filter(|_| !is_absolute) })
    }
}

/// Host and port as a URL has them: an IPv6 address in brackets.
pub(crate) fn authority(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    match port {
        Some(port) => format!("{host}:{port}"),
        None => host,
    }
}

#[cfg(test)]
mod tests {
    use barepod_prober_wire::Header;

    use super::*;

    fn get(host: &str, path: &str) -> HttpGet {
        HttpGet { tls: false, host: host.to_owned(), port: 80, path: path.to_owned(), headers: Vec::new() }
    }

    #[test]
    fn the_port_is_always_in_the_authority_and_a_fragment_never_in_the_path() {
        let target = Target::new(&get("127.0.0.1", "/a b?c=%zz#d")).unwrap();

        assert_eq!(target.text(), "http://127.0.0.1:80/a%20b?c=%zz");
        assert_eq!((target.host(), target.port(), target.host_header()), ("127.0.0.1", 80, "127.0.0.1:80"));
    }

    #[test]
    fn an_ipv6_address_is_in_brackets_only_where_a_port_follows() {
        let target = Target::new(&get("::1", "/")).unwrap();

        assert_eq!((target.host(), target.authority()), ("::1", "[::1]:80"));
    }

    #[test]
    fn a_host_header_goes_along_with_a_relative_redirect_only() {
        let mut get = get("127.0.0.1", "/a/b");
        get.headers.push(Header { name: "hOST".to_owned(), value: "example.org".to_owned() });
        let target = Target::new(&get).unwrap();

        let relative = target.join("../c?d").unwrap();
        let absolute = target.join("http://127.0.0.1:8080/e").unwrap();

        assert_eq!((relative.text().as_str(), relative.host_header()), ("http://127.0.0.1:80/c?d", "example.org"));
        assert_eq!((absolute.authority(), absolute.host_header()), ("127.0.0.1:8080", "127.0.0.1:8080"));
    }

    #[test]
    fn a_location_that_leads_nowhere_is_an_error() {
        let target = Target::new(&get("127.0.0.1", "/")).unwrap();

        assert!(target.join("ftp://127.0.0.1/").unwrap_err().contains("unsupported protocol scheme"));
        assert!(target.join("http://[::").unwrap_err().contains("failed to parse Location header"));
    }
}
