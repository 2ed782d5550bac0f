//! The operators of extra specs: `<is> True`, `>= 10`, `<or> a <or> b` (cinder: `extra_specs_ops.py`).
//!
//! | operator | matches if the capability |
//! |---|---|
//! | none | is exactly the text |
//! | `=`, `>=` | is a number, at least the operand |
//! | `==` `!=` `<=` | is a number that compares so |
//! | `s==` `s!=` `s<` `s<=` `s>` `s>=` | compares so as text |
//! | `<in>` | contains the operand |
//! | `<is>` | is the same boolean |
//! | `<or>` | is one of the words; every second word is skipped, whatever it is |
//!
//! Cinder's special cases are kept: only the first operand is used (except for `<or>`), an operator without one fails,
//! a text that does not begin with an operator is compared as a whole, and a text that is no number fails a comparison
//! of numbers.

/// Whether a capability's value satisfies an extra spec.
pub fn matches(value: &str, requirement: &str) -> bool {
    let mut words = requirement.split_whitespace();
    let operator = words.next().unwrap_or_default();
    if operator == "<or>" {
        return words.step_by(2).any(|word| word == value);
    }
    let operand = words.next();
    let with = |holds: &dyn Fn(&str) -> bool| operand.is_some_and(holds);
    let numbers = |holds: fn(f64, f64) -> bool| {
        with(
            &|operand| matches!((number(value), number(operand)), (Some(value), Some(operand)) if holds(value, operand)),
        )
    };
    match operator {
        "=" | ">=" => numbers(|value, operand| value >= operand),
        "<=" => numbers(|value, operand| value <= operand),
        "==" => numbers(|value, operand| value == operand),
        "!=" => numbers(|value, operand| value != operand),
        "s==" => with(&|operand| value == operand),
        "s!=" => with(&|operand| value != operand),
        "s<" => with(&|operand| value < operand),
        "s<=" => with(&|operand| value <= operand),
        "s>" => with(&|operand| value > operand),
        "s>=" => with(&|operand| value >= operand),
        "<in>" => with(&|operand| value.contains(operand)),
        "<is>" => with(&|operand| is_yes(value) == is_yes(operand)),
        _ => value == requirement,
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// oslo's `bool_from_string`: any other text is false.
fn is_yes(text: &str) -> bool {
    matches!(
        text.trim().to_lowercase().as_str(),
        "1" | "t" | "true" | "on" | "y" | "yes"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    #[test]
    fn operators_hold_as_in_cinder() {
        let holds = [
            ("123", "= 123"),
            ("124", "= 123"),
            ("11", ">= 9"),
            ("1e3", "== 1000"),
            ("2", "!= 3"),
            ("-inf", "<= 0"),
            ("124", "s== 124"),
            ("1000", "s<= 11"),
            ("b", "s> a"),
            ("2009", "<in> 00"),
            ("True", "<is> yes"),
            ("off", "<is> no"),
            ("gibberish", "<is> False"),
            ("12", "<or> 11 <or> 12"),
            ("12", "<or> 11 or 12"),
            ("12", "<or> 12 <or>"),
            ("", ""),
            ("a b", "a b"),
            ("=5", "=5"),
        ];
        for (value, requirement) in holds {
            assert!(matches(value, requirement), "{value:?} {requirement:?}");
        }
        let fails = [
            ("122", "= 123"),
            ("9", ">="),
            ("big", ">= 1"),
            ("5", "== five"),
            ("nan", "== nan"),
            ("True", "== 1"),
            ("a", "s=="),
            ("abc", "<in> x"),
            ("True", "<is>"),
            ("13", "<or> 11 <or> 12"),
            ("<or>", "<or> 11 <or> 12"),
            ("x", "<or>"),
            ("a b", "<or> a b"),
            ("a", " a"),
            ("a", "A"),
            ("5", "> 4"),
            ("5", "s= 5"),
        ];
        for (value, requirement) in fails {
            assert!(!matches(value, requirement), "{value:?} {requirement:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_as_numbers(value in -1000_i32..1000, operand in -1000_i32..1000, rest in "( [a-z0-9]{0,4}){0,2}") {
            let check = |operator: &str| matches(&value.to_string(), &format!("{operator} {operand}{rest}"));
            prop_assert_eq!(check("="), value >= operand);
            prop_assert_eq!(check(">="), value >= operand);
            prop_assert_eq!(check("<="), value <= operand);
            prop_assert_eq!(check("=="), value == operand);
            prop_assert_eq!(check("!="), value != operand);
        }

        #[test]
        fn words_compare_as_words(value in "[a-c]{1,3}", words in prop::collection::vec("[a-c]{1,3}", 1..4)) {
            let operand = &words[0];
            let check = |operator: &str| matches(&value, &format!("{operator}  {operand}"));
            prop_assert_eq!(check("s=="), &value == operand);
            prop_assert_eq!(check("s!="), &value != operand);
            prop_assert_eq!(check("s<"), &value < operand);
            prop_assert_eq!(check("s<="), &value <= operand);
            prop_assert_eq!(check("s>"), &value > operand);
            prop_assert_eq!(check("s>="), &value >= operand);
            prop_assert_eq!(check("<in>"), value.contains(operand.as_str()));
            prop_assert_eq!(matches(&value, &format!("<or> {}", words.join(" <or> "))), words.contains(&value));
            prop_assert_eq!(matches(&value, operand), &value == operand);
        }

        #[test]
        fn no_text_makes_it_panic(value in ".{0,12}", requirement in ".{0,24}") {
            let _ = matches(&value, &requirement);
        }
    }
}
