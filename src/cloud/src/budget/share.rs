//! Which part of a budget is whose, where several share it.

/// Which part is shared evenly, whoever waits for it: who waits for nothing yet can still begin.
const EVEN: f64 = 0.1;

/// Our part of a budget, of 1, by what we and the others wait for. Where nobody waits for anything, all have the same.
pub fn part(own: u64, others: &[u64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "machines are fewer than 2^52")]
    let float = |number: u64| number as f64;
    let even = 1.0 / float(u64::try_from(others.len()).unwrap_or_default() + 1);
    let all = float(own) + others.iter().copied().map(float).sum::<f64>();
    if all > 0.0 { even * EVEN + float(own) / all * (1.0 - EVEN) } else { even }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(demands: &[u64]) -> Vec<f64> {
        let others = |own: usize| -> Vec<u64> {
            demands.iter().enumerate().filter(|(number, _)| *number != own).map(|(_, it)| *it).collect()
        };
        demands.iter().enumerate().map(|(number, own)| part(*own, &others(number))).collect()
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
}
