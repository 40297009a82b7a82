//! The part of a budget that each replica gets.

/// This part of the budget is shared evenly, and not by need. So a replica that needs nothing yet can begin at once.
const EVEN: f64 = 0.1;

/// If a budget is enough for all, a replica that needs little still gets up to this many times its even part. Several
/// replicas may suddenly need tokens that nobody foresaw. Then each finds fewer than it counted on, but not many fewer.
const LENT: f64 = 2.0;

/// This replica's part of a budget, from 0 to 1, by its own demand and those of the others. If nobody needs anything,
/// all get the same part. If all together need no more than `plenty` tokens, each may also use what the others do not
/// need. Otherwise a replica would wait for tokens that no other replica needs.
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
    fn all_get_the_same_part_if_nobody_needs_anything_and_one_alone_gets_the_whole() {
        assert!(parts(&[0, 0, 0, 0]).iter().all(|part| is_close(*part, 0.25)));
        assert!(is_close(parts(&[7])[0], 1.0));
    }

    #[test]
    fn if_there_is_plenty_each_may_use_within_a_bound_what_the_others_do_not_need() {
        // fifteen are needed, and there are thirty-five
        for part in parts_of(&[2, 6, 7], 35.0) {
            assert!(part > 0.6 && part <= 2.0 / 3.0 + 1e-9, "{part}");
        }
        // a replica that needs most of the tokens gets them, and the others get the rest
        let [large, small, none] = parts_of(&[30, 4, 0], 35.0)[..] else { panic!() };
        assert!(large > 0.79 && small > 0.13, "{large} {small}");
        assert!(none < 0.05, "{none}");
        // if they need more than there is, the parts follow the demand
        assert_eq!(parts_of(&[300, 100, 0], 35.0), parts(&[300, 100, 0]));
        assert!(parts_of(&[0, 0], 35.0).iter().all(|part| is_close(*part, 0.5)));
    }
}
