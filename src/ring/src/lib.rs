//! Who owns what: replicas of one program share keys, hand them over, and never work on one at once.

pub mod member;
pub mod permit;
pub mod plan;
pub mod planted;
pub mod protocol;
pub mod record;
pub mod slot;
pub mod time;
pub mod timing;
