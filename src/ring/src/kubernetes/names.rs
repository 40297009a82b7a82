//! Names of objects: which are allowed, and how they follow from each other.

use std::sync::Arc;

use crate::record::Incarnation;

/// The longest value of a label, and the longest DNS label.
const LABEL_MAX: usize = 63;
/// The end of the name of the leader's Lease.
const LEADER_SUFFIX: &str = "-leader";
/// The number of random characters in an incarnation's name. 8 characters out of 36 are 41 bits. They are drawn anew
/// for each start of a Pod.
const RANDOM_LENGTH: usize = 8;
const RANDOM_ALPHABET: [u8; 36] = *b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A text cannot be the name of a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ring name {0:?} is not usable: it must be lower-case letters, digits and hyphens, begin and end with a letter or \
     digit, and be at most {max} characters long", max = LABEL_MAX - LEADER_SUFFIX.len()
)]
pub struct NameError(pub String);

/// The names that belong to one ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The name of the ring object. It is also the value of the label on the ring's Leases.
    pub ring: Arc<str>,
    /// The name of the leader Lease.
    pub leader: Arc<str>,
}

impl Names {
    /// The names of a ring.
    ///
    /// # Errors
    /// If Kubernetes does not accept them.
    pub fn new(ring: &str) -> Result<Self, NameError> {
        if !is_dns_label(ring) || ring.len() + LEADER_SUFFIX.len() > LABEL_MAX {
            return Err(NameError(ring.to_owned()));
        }
        Ok(Self { ring: ring.into(), leader: format!("{ring}{LEADER_SUFFIX}").into() })
    }
}

/// Whether a text is a DNS label by Kubernetes' rules (RFC 1123).
pub fn is_dns_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= LABEL_MAX
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
        && text.bytes().next().is_some_and(plain)
        && text.bytes().next_back().is_some_and(plain)
}

/// A new name for an incarnation in a Pod.
///
/// # Errors
/// If the system has no random numbers.
pub fn new_incarnation(pod: &str) -> Result<Incarnation, getrandom::Error> {
    let mut random = String::new();
    while random.len() < RANDOM_LENGTH {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        // 252 is the largest multiple of 36 in a byte. Larger bytes would make some characters more frequent.
        let drawn = bytes.iter().filter(|byte| **byte < 252);
        let letters = drawn.filter_map(|byte| RANDOM_ALPHABET.get(usize::from(*byte) % 36));
        random.extend(letters.take(RANDOM_LENGTH - random.len()).map(|letter| char::from(*letter)));
    }
    Ok(Incarnation::new(format!("{}{random}", prefix(pod))))
}

/// Whether an incarnation of a Pod of this name has this name.
pub fn is_of_pod(incarnation: &str, pod: &str) -> bool {
    let random = incarnation.strip_prefix(&prefix(pod));
    random.is_some_and(|random| {
        random.len() == RANDOM_LENGTH && random.bytes().all(|byte| RANDOM_ALPHABET.contains(&byte))
    })
}

/// The beginning of the names of a Pod's incarnations: the Pod's name as a DNS label, which has no dots and is shorter,
/// and a hyphen.
fn prefix(pod: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = pod.chars().take(LABEL_MAX - RANDOM_LENGTH - 1).map(plain).collect();
    let name = name.trim_matches('-');
    format!("{}-", if name.is_empty() { "process" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_name_is_a_label_with_room_for_the_leader() {
        let names = Names::new("booking-operator").unwrap();
        assert_eq!(&*names.leader, "booking-operator-leader");
        let longest = "x".repeat(56);
        assert!(is_dns_label(&Names::new(&longest).unwrap().leader));
        for bad in ["", "Ring", "a.b", "-a", "a-", "a,b=c", &"x".repeat(57)] {
            assert!(Names::new(bad).unwrap_err().to_string().contains("at most 56"), "{bad}");
        }
    }

    #[test]
    fn incarnations_of_a_pod_differ_and_are_labels_whatever_the_pod_is_called() {
        for pod in ["operator-7f9c-x2b4d", "Web.01_a", "", "-.-", &"long-".repeat(50)] {
            let (one, other) = (new_incarnation(pod).unwrap(), new_incarnation(pod).unwrap());
            assert_ne!(one, other);
            assert!(is_dns_label(one.as_str()), "{one}");
            assert!(is_of_pod(one.as_str(), pod), "{one}");
        }
    }

    #[test]
    fn an_incarnation_belongs_to_its_own_pod_alone() {
        assert!(is_of_pod("operator-a-k3j5x9q1", "operator-a"));
        for (incarnation, pod) in [
            ("operator-a-k3j5x9q1", "operator"),
            ("operator-a-k3j5x9q1", "operator-b"),
            ("operator-a-k3j5x9q", "operator-a"),
            ("operator-a-k3j5x9qX", "operator-a"),
            ("operator-a-", "operator-a"),
            ("", "operator-a"),
        ] {
            assert!(!is_of_pod(incarnation, pod), "{incarnation} {pod}");
        }
    }
}
