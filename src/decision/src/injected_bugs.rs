//! The switch for bugs that are put in on purpose, so that a checker can be seen to catch them.

/// Makes `plant`, which puts one bug of a type into what the present thread runs, and `planted`, which asks
/// for it. Both go by the feature `planted` of the crate that calls this: without it there is no `plant`,
/// `planted` is the constant false, and the wrong ways are not compiled in.
#[macro_export]
macro_rules! switch {
    ($bug:ty) => {
        #[cfg(feature = "planted")]
        ::std::thread_local! {
            static PLANTED: ::std::cell::Cell<Option<$bug>> = const { ::std::cell::Cell::new(None) };
        }

        /// Plants a bug in what this thread runs from now on, or takes it away.
        #[cfg(feature = "planted")]
        pub fn plant(bug: Option<$bug>) {
            PLANTED.set(bug);
        }

        /// Whether a bug is planted.
        #[cfg(feature = "planted")]
        pub(crate) fn planted(bug: $bug) -> bool {
            PLANTED.get() == Some(bug)
        }

        /// Whether a bug is planted: never.
        #[cfg(not(feature = "planted"))]
        pub(crate) const fn planted(_: $bug) -> bool {
            false
        }
    };
}
