//! The switch for injected bugs, with which the checkers are tested.

/// Defines `inject`, which injects one bug into what the present thread runs, and `is_injected`, which says whether a
/// bug is injected. Both depend on the feature `injected-bugs` of the calling crate. Without it there is no `inject`,
/// `is_injected` is the constant false, and the wrong code is not compiled in.
#[macro_export]
macro_rules! switch {
    ($bug:ty) => {
        #[cfg(feature = "injected-bugs")]
        ::std::thread_local! {
            static INJECTED: ::std::cell::Cell<Option<$bug>> = const { ::std::cell::Cell::new(None) };
        }

        /// Injects a bug into what this thread runs from now on, or removes it.
        #[cfg(feature = "injected-bugs")]
        pub fn inject(bug: Option<$bug>) {
            INJECTED.set(bug);
        }

        /// Whether a bug is injected.
        #[cfg(feature = "injected-bugs")]
        pub(crate) fn is_injected(bug: $bug) -> bool {
            INJECTED.get() == Some(bug)
        }

        /// Whether a bug is injected, which is never true in this build.
        #[cfg(not(feature = "injected-bugs"))]
        pub(crate) const fn is_injected(_: $bug) -> bool {
            false
        }
    };
}
