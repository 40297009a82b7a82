//! The ring decides which replica owns which keys. Replicas of one program share keys and hand them over. Two replicas
//! never work on one key at the same time. This crate does not know what the keys mean.
//!
//! A key's *slot* is a hash of its namespace and name ([`slot`]). A running process is an *incarnation*, and it renews
//! a Lease of its own. The *ring* object says which incarnation owns which slot. One incarnation, the leader, plans
//! which incarnation gets which slot. The rules below hold whichever incarnation writes the ring.
//!
//! | module | what |
//! |---|---|
//! | [`member`] | the part of one incarnation as a state machine: events in, actions out |
//! | [`plan`] | the assignment: which member gets which slot, and when |
//! | [`permit`] | permits to begin calls, and the calls that run |
//! | [`neighbours`], [`claim`] | other rings: to which of their members this one gives way |
//! | [`record`], [`protocol`] | the objects at the API server; events, requests and actions |
//! | [`timing`], [`time`], [`slot`] | durations, clocks, the hash |
//! | [`kubernetes`] | the driver: real Leases, watches, timers, metrics |
//! | [`injected_bugs`] | injected bugs, only in builds that test the checkers |
//!
//! # Why two incarnations never work on one slot
//!
//! An incarnation *works* on a slot while a call (or write) for the slot has begun and may not be over. The durations
//! are: L of a Lease, D of a permit, T of the longest call. L > D + T + slack, and [`timing::Timing::new`] refuses all
//! other values.
//!
//! **What an incarnation may do.** It begins a call for a slot only if both conditions are true at that moment:
//! 1. The newest ring that it has applied names it as the owner, with no move of the slot under way
//!    ([`record::Ring::workable`]).
//! 2. Less than D has passed since it *sent* a renewal of its Lease that is known to have succeeded
//!    ([`permit::Permits::left`]). Of its clocks, the one that has run most counts.
//!
//! An incarnation applies the epochs of one ring only upwards. It never creates its Lease twice. A call ends with its
//! reply, or T after its begin.
//!
//! **What the store does.** Every write of the ring and of Leases is a compare-and-swap on uid and version. Creation is
//! one, too. So the epochs of a ring form one sequence, and the versions of a Lease form another one. There is one
//! exception: the mark that asks a member to leave. It permits nothing to anybody.
//!
//! **Claim.** Let the ring's sequence give slot s from A to B with epoch e. Then A never works on s again, unless a
//! later epoch gives s back to A. There are three ways to write e ([`plan`]):
//!
//! * *s had no owner.* Then no incarnation was allowed to work on s since the epoch that took its owner away. That
//!   epoch was written in one of the other two ways.
//! * *A acknowledged.* The move "A, next B" began with an epoch m < e. A's Lease is bound to this ring, says acked >=
//!   m, and does not list s as draining. A made that statement from a ring of epoch w >= acked that it had applied.
//!
//!   If w < e, that ring contained the move. By 1., A began no call for s from then on. A had also seen its last call
//!   for s end ([`permit::Permits::busy`]; a cancelled call counts until its begin + T). If w >= e, the writer of e
//!   starts from an old ring, and its write fails.
//!
//!   While A doubts its ring, it changes neither part of the statement. A applies epochs upwards only, and no epoch
//!   from m to e frees s for A: a move that begins anew, or in the other direction, has a new m. So A works on s only
//!   after an epoch later than e names it. (A leader may rely on its own statement before its Lease shows it, because
//!   it is already true.)
//! * *A's Lease is over.* There are two cases. In the first, A said so itself after its last call had ended, and it
//!   never renews again.
//!
//!   In the second, the Lease was sealed: some S saw version v of it, and no other version for L by S's own monotonic
//!   clock. Then S wrote the seal on exactly that v. So no renewal of A took effect after v, and none ever will,
//!   because v is gone. A's last renewal that can be known to have succeeded wrote v or an earlier version. A sent it
//!   before it took effect, that is, before S first saw v. A began no call later than D after that sending, and each
//!   call was over T later. D + T < L after S first saw v, so all calls were over before the seal. If S's watch was
//!   late, S only began to count later.
//!
//! *A proof of death* lets S wait for T instead of L. A dead process begins no call, and its calls are over T after its
//! death. The seal is the same compare-and-swap.
//!
//! *Absence is no proof.* If A's Lease is gone, A may still have a permit from before. S creates a Lease of that name.
//! Then A's next renewal fails because of the uid, and A is over. S seals the Lease that it created L later, as any
//! other Lease.
//!
//! *Another ring.* A Lease names the uid of its ring, and it counts in no other ring. If the ring object is replaced,
//! owners of the old ring may still work. So the new ring names no owner before two things have happened: a consistent
//! list shows no Lease of another ring that is not over, and L has passed after that list. The wait covers Leases that
//! were deleted with the old ring: their last renewal is older than the list.
//!
//! *A restored store.* Epochs and Leases go back. This is safe if the API server was away for at least L, because then
//! every permit has run out. If the permit of an incarnation has run out, the incarnation reads the ring consistently
//! after its next successful renewal and before it works again. If a renewal meets another version, it reads its Lease.
//! If either read shows less than the incarnation knew, the incarnation is over. The next incarnation starts only from
//! what the store says now.
//!
//! *The next incarnation of a process* begins when every call of the one before has ended.
//!
//! A wall clock is compared only with itself. Leadership is not part of the argument: if there are two leaders, one of
//! them gets conflicts.
//!
//! # What is not promised
//! If a process is halted between its check and its packet, it sends the packet when it goes on, and cloud APIs take no
//! fencing token. The same is true of a whole machine that was halted with all its clocks. If a broken network holds a
//! packet back, the packet arrives when the network heals, perhaps after T: the sender has closed its connection by
//! then, but its kernel goes on trying.
//!
//! Replicas may be set to different L. Then a replica with the longer L is in danger if it is cut off and somebody
//! deletes its Lease (or its Lease and the ring). Others do not wait long enough, because its L was in the deleted
//! Lease. If a store is restored and the API server was away for less than L, the store may name an owner that does not
//! know of it.
//!
//! [`neighbours`] argues that two *rings* never do the same work.

pub mod claim;
pub mod injected_bugs;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod member;
pub mod neighbours;
pub mod permit;
pub mod plan;
pub mod protocol;
pub mod record;
pub mod slot;
pub mod time;
pub mod timing;
