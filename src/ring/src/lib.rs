//! Who owns what: replicas of one program share keys, hand them over, and never work on one at once.
//! Nothing here knows what the keys stand for.
//!
//! A key's *slot* is a hash of its namespace and name ([`slot`]). A running process is an *incarnation*; it
//! renews a Lease of its own. The *ring* object says which incarnation owns which slot. One incarnation, the
//! leader, plans who gets what; the rules below hold whoever writes.
//!
//! | module | what |
//! |---|---|
//! | [`member`] | one incarnation's part as a state machine: events in, actions out |
//! | [`plan`] | the assignment: who gets which slot, and when |
//! | [`permit`] | permits to begin calls, and the calls that run |
//! | [`neighbours`], [`claim`] | other rings: which of their members is in the way of this one |
//! | [`record`], [`protocol`] | what stands at the API server; what goes in and out |
//! | [`timing`], [`time`], [`slot`] | durations, clocks, the hash |
//! | [`kubernetes`] | the driver: real Leases, watches, timers, metrics |
//! | [`injected_bugs`] | bugs put in on purpose, in builds that test the checkers |
//!
//! # Why no two incarnations work on one slot
//!
//! *Working* on a slot is: a call (or write) for it has begun and may not be over. Durations: L a Lease's,
//! D a permit's, T a call's longest; L > D + T + slack ([`timing::Timing::new`] refuses all else).
//!
//! **What an incarnation may do.** It begins a call for a slot only if, at that moment,
//! 1. the newest ring it has applied names it as owner, with no move under way from it
//!    ([`record::Ring::workable`]), and
//! 2. less than D has passed since it *sent* a renewal of its Lease that is known to have succeeded
//!    ([`permit::Permits::left`]), by whichever of its clocks ran most.
//!
//! It applies epochs of one ring only upwards. It never creates its Lease twice. A call ends with its
//! reply, or T after its begin.
//!
//! **What the store does.** Every write of ring and Leases is a compare-and-swap on uid and version (creation is
//! one too), so the ring's epochs form one sequence, and a Lease's versions another. The one exception, a mark
//! that asks a member to leave, permits nobody anything.
//!
//! **Claim.** When the ring's sequence gives slot s from A to B with epoch e, A works on s no more, at any
//! later time, unless a later epoch gives s back to it. There are three ways to write e ([`plan`]):
//!
//! * *s had no owner.* Then nobody was allowed to work on it since the epoch that took its owner away, which
//!   is one of the other two ways.
//! * *A acknowledged.* The move "A, next B" was begun with epoch m < e, and A's Lease, bound to this ring, says
//!   acked >= m and does not list s as draining. A made that statement from a ring that it had applied, of an
//!   epoch w >= acked. If w < e, the move stood in that ring: by 1. A began no call for s from then on, and it had
//!   seen the last one end ([`permit::Permits::busy`]; a cancelled one counts until its begin + T). If w >= e,
//!   whoever writes e starts from an old ring and fails. While A doubts its ring it changes neither part of the
//!   statement. A applies epochs upwards only, and none from m to e frees s for it: a move that is begun anew, or
//!   back, has a new m. So A stays away until an epoch after e names it. (A leader may go by its own statement
//!   before its Lease says it: it is as true.)
//! * *A's Lease is over.* Either A said so itself, after its last call had ended, and it never renews again. Or it
//!   was sealed: some S saw version v of it, and for L by its own monotonic clock no other, and then wrote the
//!   seal on that very v. So no renewal of A took effect after v, and none ever will, for v is gone. A's last
//!   renewal that can be known to have succeeded is the one that wrote v or an earlier one; it was sent before it
//!   took effect, that is before S first saw v. A began no call later than D after that sending, and that call
//!   was over T later: D + T < L after S first saw v, so before the seal. How late S's watch was does not
//!   matter: it only makes S begin to count later.
//!
//! *Proof of death* lets S wait T instead of L: a process that is dead begins no call, and those it had begun are
//! over T after its death. The seal is the same compare-and-swap.
//!
//! *Absence is no proof.* If A's Lease is gone, A may still hold a permit from before. S creates a Lease of that
//! name: A's next renewal fails on its uid, and A is over; then S seals what it created, as any other, L later.
//!
//! *Another ring.* A Lease names the uid of its ring, and counts in no other. If the ring object is
//! replaced, owners of the old one may be at work. The new ring names no owner until a consistent list shows no
//! Lease of another ring that is not over, and then L more, for those whose Leases were deleted with the old
//! one: their last renewal is older than the list.
//!
//! *A restored store.* Epochs and Leases go back. That needs the API server away for at least L; then every
//! permit has run out. An incarnation whose permit had run out reads the ring consistently after its next
//! successful renewal and before it works again, and reads its Lease where a renewal meets another version. If either
//! shows less than it knew, it is over, and the next incarnation begins with nothing
//! but what the store says now.
//!
//! *The next incarnation of a process* begins when every call of the one before has ended.
//!
//! Wall clocks are compared with nothing but themselves. Leadership is not part of the argument: two leaders
//! only meet in conflicts.
//!
//! # What is not promised
//! A process that is halted between its check and its packet sends when it goes on; cloud APIs take no
//! fencing token. So does a whole machine that was halted with all its clocks. What a broken network holds
//! back arrives when it heals, perhaps after T: the sender has closed its connection by then, its kernel tries
//! on. Of replicas that are set to different L, one with the longer L is not waited for long enough if somebody
//! deletes its Lease (or Lease and ring) while it is cut off: the L it told went with it. A store restored while
//! the API server was away for less than L may name an owner who does not know.
//!
//! That no two *rings* do the same work is argued in [`neighbours`].

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
