//! Which part of a budget is whose, where several share it.

/// Which part is shared evenly, whoever waits for it: who waits for nothing yet can still begin.
const EVEN: f64 = 0.1;

/// How many times its even part somebody has at most of a budget that is plenty for all. What falls due unforeseen, for several
/// at once, then finds less than they think, but not much less.
const LENT: f64 = 2.0;

/// Our part of a budget, of 1, by what we and the others wait for. Where nobody waits for anything, all have the same. Where there
/// is more than all of them need, which is `plenty`, the rest is at the disposal of each: parts that only add up to the whole would
/// have one wait for tokens that no other needs.
pub fn part(own: u64, others: &[u64], plenty: f64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "machines are fewer than 2^52")]
    let float = |number: u64| number as f64;
    let even = 1.0 / float(u64::try_from(others.len()).unwrap_or_default() + 1);
    let others = others.iter().copied().map(float).sum::<f64>();
    let all = float(own) + others;
    if all <= 0.0 {
        return even;
    }
    let by_demand = even * EVEN + float(own) / all * (1.0 - EVEN);
    if all > plenty {
        return by_demand;
    }
    let unneeded = (plenty - others) / plenty;
    by_demand.max(unneeded.min(LENT * even)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(demands: &[u64]) -> Vec<f64> {
        parts_of(demands, 0.0)
    }

    fn parts_of(demands: &[u64], plenty: f64) -> Vec<f64> {
        let others = |own: usize| -> Vec<u64> {
            demands.iter().enumerate().filter(|(number, _)| *number != own).map(|(_, it)| *it).collect()
        };
        demands.iter().enumerate().map(|(number, own)| part(*own, &others(number), plenty)).collect()
    }

    fn is_close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn parts_add_up_to_the_whole_and_go_by_demand() {
        for demands in [&[0, 0, 0][..], &[1], &[5, 5], &[300, 100, 0], &[1, 1_000_000]] {
            let parts = parts(demands);
            assert!(is_close(parts.iter().sum(), 1.0), "{demands:?}: {parts:?}");
            assert!(parts.iter().all(|part| *part > 0.0), "{demands:?}: {parts:?}");
        }
        let [large, small, none] = parts(&[300, 100, 0])[..] else { panic!() };
        assert!(is_close(large, 0.9 * 0.75 + 0.1 / 3.0) && is_close(small, 0.9 * 0.25 + 0.1 / 3.0));
        assert!(is_close(none, 0.1 / 3.0));
    }

    #[test]
    fn where_nobody_waits_all_have_the_same_and_one_alone_has_all() {
        assert!(parts(&[0, 0, 0, 0]).iter().all(|part| is_close(*part, 0.25)));
        assert!(is_close(parts(&[7])[0], 1.0));
    }

    #[test]
    fn of_plenty_each_has_what_the_others_do_not_need_but_not_much_more_than_its_even_part() {
        // fifteen are foreseen where thirty-five would do
        for part in parts_of(&[2, 6, 7], 35.0) {
            assert!(part > 0.6 && part <= 2.0 / 3.0 + 1e-9, "{part}");
        }
        // who needs most of it has that, and leaves the others what is left
        let [large, small, none] = parts_of(&[30, 4, 0], 35.0)[..] else { panic!() };
        assert!(large > 0.79 && small > 0.13, "{large} {small}");
        assert!(none < 0.05, "{none}");
        // more than there is goes by demand
        assert_eq!(parts_of(&[300, 100, 0], 35.0), parts(&[300, 100, 0]));
        assert!(parts_of(&[0, 0], 35.0).iter().all(|part| is_close(*part, 0.5)));
    }
}
