//! The switch for injected bugs, with which the checkers are tested.

/// Defines `plant`, which injects one bug into what the present thread runs, and `planted`, which says whether a bug
/// is injected. Both depend on the feature `planted` of the calling crate. Without it there is no `plant`, `planted`
/// is the constant false, and the wrong code is not compiled in.
#[macro_export]
macro_rules! switch {
    ($bug:ty) => {
        #[cfg(feature = "planted")]
        ::std::thread_local! {
            static PLANTED: ::std::cell::Cell<Option<$bug>> = const { ::std::cell::Cell::new(None) };
        }

        /// Injects a bug into what this thread runs from now on, or removes it.
        #[cfg(feature = "planted")]
        pub fn plant(bug: Option<$bug>) {
            PLANTED.set(bug);
        }

        /// Whether a bug is injected.
        #[cfg(feature = "planted")]
        pub(crate) fn planted(bug: $bug) -> bool {
            PLANTED.get() == Some(bug)
        }

        /// Whether a bug is injected, which is never true in this build.
        #[cfg(not(feature = "planted"))]
        pub(crate) const fn planted(_: $bug) -> bool {
            false
        }
    };
}
