//! Objects as they are kept. A replica knows all Bookings and Resources there are, works on some of them, and looks at few:
//! what is not looked at is kept as its JSON, compressed. That is a tenth of the object.

use std::{marker::PhantomData, sync::Arc};

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

use super::{Cached, version};

/// What objects of this API look like: what they share with it costs next to nothing. A stored form lives no longer than the
/// process, so it may change with any release.
const DICTIONARY: &[u8] = br#"{"apiVersion":"manager.kotaico.de/v1","kind":"Resource","metadata":{"annotations":{"manager.kotaico.de/discovered-by":"ec2"},"creationTimestamp":"2026-11-22T06:24:35Z","finalizers":["manager.kotaico.de/release"],"generation":1,"labels":{"app.kubernetes.io/name":"","app.kubernetes.io/instance":""},"spec":{"type":"ec2","tag":"","when_idle":"Stop","on_delete":"Release","region":"eu-central-1","role_arn":"arn:aws:iam::","booked_by":"","booked_until":""},"status":{"instances":1,"running":0,"status":"STOPPED","locked_by":"","locked_until":"","observedGeneration":1,"first_seen_at":"2026-11-22T06:24:35Z","idle_since":"2026-11-22T06:24:35Z","conditions":[{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"all machines are stopped","observedGeneration":1,"reason":"Stopped","status":"True","type":"Ready"}]}}{"apiVersion":"manager.kotaico.de/v1","kind":"Booking","metadata":{"creationTimestamp":"2026-11-22T06:24:35Z","generation":1,"name":"","namespace":"default","ownerReferences":[{"apiVersion":"manager.kotaico.de/v1","controller":true,"kind":"BookingScheduler","name":"","uid":""}],"resourceVersion":"","uid":""},"spec":{"resource_name":"ec2.","start_at":"2026-11-22T06:24:35Z","end_at":"2026-11-22T18:24:35Z","user_id":"","notifications":[{"type":"email","recipient":""}]},"status":{"status":"FINISHED","notification_sent":false,"observedGeneration":1,"granted_resource":"ec2.","granted_from":"2026-11-22T06:24:35Z","granted_until":"2026-11-22T18:24:35Z","conditions":[{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"the spec is valid","observedGeneration":1,"reason":"Valid","status":"True","type":"Accepted"},{"lastTransitionTime":"2026-11-22T06:24:35Z","message":"starts at 2026-11-22T06:24:35Z","observedGeneration":1,"reason":"Scheduled","status":"False","type":"Ready"}]}}"#;

/// An object as it is kept.
#[derive(Clone, Debug)]
pub(super) struct Kept<K> {
    version: u64,
    form: Form<K>,
}

#[derive(Clone, Debug)]
enum Form<K> {
    Packed(Box<[u8]>, PhantomData<fn() -> K>),
    Whole(Arc<K>),
}

impl<K: Cached> Kept<K> {
    /// Keeps an object: packed if it can be.
    pub(super) fn new(object: K) -> (Self, Arc<K>) {
        let version = version(object.meta());
        let packed = serde_json::to_vec(&object).ok();
        let object = Arc::new(object);
        let form = match packed {
            Some(json) => {
                let packed = compress_prepend_size_with_dict(&json, DICTIONARY);
                Form::Packed(packed.into_boxed_slice(), PhantomData)
            }
            None => Form::Whole(object.clone()),
        };
        (Self { version, form }, object)
    }

    /// Its version, without opening it.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// The object. None cannot happen: it was packed here.
    pub(super) fn open(&self) -> Option<Arc<K>> {
        match &self.form {
            Form::Whole(object) => Some(object.clone()),
            Form::Packed(packed, _) => {
                let json = decompress_size_prepended_with_dict(packed, DICTIONARY).ok()?;
                let object = serde_json::from_slice(&json);
                object
                    .inspect_err(|error| tracing::error!(%error, "a kept object cannot be read"))
                    .ok()
                    .map(Arc::new)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bookings::api::{Booking, BookingSpec, BookingStatus, Resource};
    use kube::ResourceExt;

    use super::*;

    fn booking() -> Booking {
        let spec = BookingSpec {
            resource_name: Some("ec2.analytics".into()),
            user_id: Some("Zo\u{eb} \"O'Neill\"".into()),
            start_at: Some("2027-03-01T08:00:00Z".into()),
            end_at: Some("2027-03-01T18:00:00.5+01:00".into()),
            ..BookingSpec::default()
        };
        let mut booking = Booking::new("report", spec);
        booking.metadata.namespace = Some("team".into());
        booking.metadata.uid = Some("0d2c1bf4-5e0c-4d6e-9d9c-6a8f3a1c2b3d".into());
        booking.metadata.resource_version = Some("4711".into());
        booking.metadata.generation = Some(3);
        booking.annotations_mut().insert("team/note".into(), "x".into());
        booking.status = Some(BookingStatus { status: Some("SCHEDULED".into()), ..BookingStatus::default() });
        booking
    }

    #[test]
    fn what_is_kept_is_what_was_there() {
        let (kept, given) = Kept::new(booking());
        let whole = serde_json::to_value(booking()).unwrap();
        assert_eq!(serde_json::to_value(&*kept.open().unwrap()).unwrap(), whole);
        assert_eq!(serde_json::to_value(&*given).unwrap(), whole);
        assert_eq!(kept.version(), 4711);
        let empty = Resource::new("r", bookings::api::ResourceSpec::default());
        let (kept, _) = Kept::new(empty.clone());
        assert_eq!(
            serde_json::to_value(&*kept.open().unwrap()).unwrap(),
            serde_json::to_value(empty).unwrap()
        );
    }

    #[test]
    fn a_booking_is_kept_in_a_few_hundred_bytes() {
        let Form::Packed(packed, _) = Kept::new(booking()).0.form else { panic!("it is packed") };
        assert!(packed.len() < 300, "{} bytes", packed.len());
    }
}
