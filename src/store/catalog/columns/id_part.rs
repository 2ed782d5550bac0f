//! Ids whose text contains a part, found without writing their texts.

use uuid::Uuid;

/// The bits of each hexadecimal digit of an id.
const DIGIT: u32 = 4;
/// The lowest bit of each digit.
const ONES: u128 = u128::MAX / 0xf;
/// The length of the text of an id.
const TEXT: usize = 36;

/// A part of the text of an id, in lower case.
pub(super) struct IdPart {
    /// For each digit of the part, that digit in all places.
    digits: Vec<u128>,
    /// The highest bit of each digit of an id where the digits of the part may begin, so that dashes are where an id has them.
    starts: u128,
}

impl IdPart {
    /// `None` if no id contains it.
    pub(super) fn new(part: &str) -> Option<Self> {
        let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let places = (TEXT + 1).checked_sub(part.len())?;
        let fits = |start: &usize| {
            let mut bytes = part.bytes().enumerate();
            bytes.all(|(at, byte)| is_dash(start + at) == (byte == b'-'))
        };
        let digits_before = |start: usize| (0..start).map(|at| u32::from(!is_dash(at))).sum::<u32>();
        // Nothing is left of it behind the last digit.
        let highest_bit = |digit: u32| {
            1_u128
                .rotate_right(1)
                .checked_shr(digit * DIGIT)
                .unwrap_or_default()
        };
        let fitting: Vec<u32> = (0..places).filter(fits).map(digits_before).collect();
        let digits: Option<Vec<u128>> = part
            .chars()
            .filter(|char| *char != '-')
            .map(|char| char.to_digit(16).map(|digit| ONES * u128::from(digit)))
            .collect();
        let digits = digits?;
        let starts = fitting
            .iter()
            .fold(0, |starts, digit| starts | highest_bit(*digit));
        (!fitting.is_empty()).then_some(Self { digits, starts })
    }

    /// Whether an id contains it.
    pub(super) fn is_in(&self, id: Uuid) -> bool {
        let id = id.as_u128();
        let mut starts = self.starts;
        for (shift, digit) in (0..).step_by(DIGIT as usize).zip(&self.digits) {
            starts &= zero_digits(id ^ digit) << shift;
            if starts == 0 {
                return false;
            }
        }
        true
    }
}

/// The highest bit of each digit that is zero.
fn zero_digits(digits: u128) -> u128 {
    const LOW: u128 = ONES * 7;
    // The sum sets the highest bit if a lower one is set, and carries nothing into the next digit.
    !(((digits & LOW) + LOW) | digits) & (ONES * 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_in(part: &str, id: Uuid) -> bool {
        IdPart::new(part).is_some_and(|part| part.is_in(id))
    }

    #[test]
    fn a_part_without_digits_is_in_all_or_none() {
        let id = Uuid::from_u128(7);
        assert!(is_in("", id) && is_in("-", id));
        assert!(!is_in("--", id) && !is_in("g", id) && !is_in("+1", id) && !is_in("é", id));
        assert!(!is_in(&"0".repeat(37), id));
    }

    proptest! {
        #[test]
        fn an_id_contains_the_parts_of_its_text(id: u128, start in 0..TEXT, len in 0..=TEXT) {
            let id = Uuid::from_u128(id);
            let text = id.to_string();
            prop_assert!(is_in(&text[start..TEXT.min(start + len)], id));
        }

        #[test]
        fn a_part_is_in_an_id_as_in_its_text(id: u128, part in "[0-9a-f-]{0,4}") {
            let id = Uuid::from_u128(id);
            prop_assert_eq!(is_in(&part, id), id.to_string().contains(&part));
        }

        #[test]
        fn a_part_with_another_digit_is_in_an_id_as_in_its_text(id: u128, start in 0..TEXT, len in 1..=TEXT, at: usize, by in 1..16_u32) {
            let id = Uuid::from_u128(id);
            let text = id.to_string();
            let mut part: Vec<char> = text[start..TEXT.min(start + len)].chars().collect();
            let at = at % part.len();
            if let Some(digit) = part[at].to_digit(16).and_then(|digit| char::from_digit((digit + by) % 16, 16)) {
                part[at] = digit;
            }
            let part: String = part.into_iter().collect();
            prop_assert_eq!(is_in(&part, id), text.contains(&part));
        }
    }
}
