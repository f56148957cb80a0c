//! Numbers and tables as Markdown.

/// Three significant digits, thousands grouped.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    let unit = 10f64.powi(-digits);
    let text = format!("{:.*}", digits.max(0) as usize, (value / unit).round() * unit);
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// A share of one.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

/// A line of a table.
pub(super) fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The first two lines of a table.
pub(super) fn head(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.to_string()).collect();
    format!("{}|{}\n", line(&cells), "---|".repeat(cells.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let cases = [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (9.996, "10.00"),
            (123.4, "123"),
            (1_234_567.0, "1,230,000"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }
}
