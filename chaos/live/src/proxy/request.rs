//! Finds the requests in what a client sends over one HTTP/1.1 connection.

/// No request of ours has a longer head.
const HEAD_MAX: usize = 64 * 1024;

/// The kind of a request, as faults distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// A watch. Its answer continues until somebody ends it.
    Watch,
    /// A get or list.
    Read,
    /// A change of a member's Lease.
    Renewal,
    /// A change of the leader's Lease.
    LeadRenewal,
    /// Any other change.
    Write,
}

/// Reads the bytes of a connection, and returns each request when its head is complete.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    head: Vec<u8>,
    /// The number of bytes of the body that are still to come.
    body: usize,
    /// The bytes have become unreadable (chunked, upgraded, too long). From here they are only passed on.
    opaque: bool,
}

impl Scanner {
    /// Takes the bytes that were just read. Returns the requests whose heads end in them.
    pub(super) fn take(&mut self, mut bytes: &[u8]) -> Vec<Request> {
        let mut found = Vec::new();
        while !bytes.is_empty() && !self.opaque {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let Some((first, rest)) = bytes.split_first() else { break };
            bytes = rest;
            self.head.push(*first);
            if self.head.ends_with(b"\r\n\r\n") {
                found.extend(self.finish());
            } else if self.head.len() > HEAD_MAX {
                self.opaque = true;
            }
        }
        found
    }

    fn finish(&mut self) -> Option<Request> {
        let head = std::mem::take(&mut self.head);
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?, words.next()?);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                self.body = value.trim().parse().unwrap_or(0);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                self.opaque = true;
            }
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let watch = query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
        Some(match method {
            "GET" | "HEAD" if watch => Request::Watch,
            "GET" | "HEAD" => Request::Read,
            _ if path.contains("/leases/") && path.ends_with("-leader") => Request::LeadRenewal,
            _ if path.contains("/leases/") => Request::Renewal,
            _ => Request::Write,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATCH: &str = "GET /apis/x/v1/leases?limit=5&watch=true HTTP/1.1\r\nhost: a\r\n\r\n";
    const LIST: &str = "GET /api/v1/pods?allowWatch=truely HTTP/1.1\r\nhost: a\r\n\r\n";
    const RENEWAL: &str = "PATCH /apis/coordination.k8s.io/v1/namespaces/a/leases/b HTTP/1.1\r\nContent-Length: 4\r\n\r\n\r\n\r\n";

    #[test]
    fn requests_are_told_apart() {
        for (text, expected) in [(WATCH, Request::Watch), (LIST, Request::Read), (RENEWAL, Request::Renewal)]
        {
            assert_eq!(Scanner::default().take(text.as_bytes()), [expected], "{text}");
        }
    }

    #[test]
    fn requests_are_found_one_after_another_however_they_are_cut() {
        let text = [RENEWAL, LIST, RENEWAL, WATCH].concat();
        let expected = [Request::Renewal, Request::Read, Request::Renewal, Request::Watch];
        for size in [1, 2, 7, 100, 10_000] {
            let mut scanner = Scanner::default();
            let found: Vec<_> = text.as_bytes().chunks(size).flat_map(|chunk| scanner.take(chunk)).collect();
            assert_eq!(found, expected, "{size}");
        }
    }

    #[test]
    fn what_is_no_request_is_only_passed_on() {
        let mut scanner = Scanner::default();
        assert_eq!(scanner.take(&vec![b'x'; 2 * HEAD_MAX]), []);
        assert_eq!(scanner.take(WATCH.as_bytes()), []);
    }
}
