//! The ratios as a picture: a point a round, the median with its interval, and the line where nothing differs.

use std::fmt::Write as _;

use super::figures::Better;
use super::report::{OfMeasure, Ratio, Report, figure};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 260.0;
const RIGHT: f64 = 30.0;
const ROW: f64 = 34.0;
const HEAD: f64 = 58.0;
const FOOT: f64 = 34.0;
/// What differs by more than so many times is shown by powers of ten.
const FAR: f64 = 4.0;

/// From ratios to places on the line.
struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// Of all these, and of 1.
    fn of(ratios: impl Iterator<Item = f64>) -> Self {
        let (low, high) = ratios.fold((1.0_f64, 1.0_f64), |(low, high), ratio| (low.min(ratio), high.max(ratio)));
        if high > FAR || low < 1.0 / FAR {
            let power = |value: f64, round: fn(f64) -> f64| 10_f64.powf(round(value.log10()));
            return Self { low: power(low, f64::floor), high: power(high, f64::ceil), is_logarithmic: true };
        }
        let margin = ((high - low) * 0.06).max(0.02);
        Self { low: low - margin, high: high + margin, is_logarithmic: false }
    }

    fn x(&self, ratio: f64) -> f64 {
        let place = |value: f64| if self.is_logarithmic { value.log10() } else { value };
        let share = (place(ratio) - place(self.low)) / (place(self.high) - place(self.low));
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            let powers = self.low.log10().round() as i32..=self.high.log10().round() as i32;
            return powers.map(|power| 10_f64.powi(power)).collect();
        }
        let steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
        let step = steps.into_iter().find(|step| (self.high - self.low) / step <= 8.0).unwrap_or(1.0);
        let numbers = (self.low / step).ceil() as i64..=(self.high / step).floor() as i64;
        numbers.map(|number| number as f64 * step).collect()
    }
}

/// The picture.
pub(crate) fn svg(report: &Report) -> String {
    let panels: Vec<_> = report.measures.iter().filter(|measure| ratios(measure).next().is_some()).collect();
    let height: f64 = 70.0 + panels.iter().map(|measure| panel_height(measure)).sum::<f64>();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let subject = &report.subject;
    let title = format!("Times the bare process, round by round: {}", subject.directory);
    let note = format!("{} rounds; points are rounds, bars the median's 95 % interval", subject.rounds);
    text(&mut svg, 16.0, 28.0, "font-size=\"17\"", &title);
    text(&mut svg, 16.0, 50.0, "fill=\"#555\"", &note);
    let mut top = 70.0;
    for measure in panels {
        panel(&mut svg, report, measure, top);
        top += panel_height(measure);
    }
    svg += "</svg>\n";
    svg
}

fn ratios(measure: &OfMeasure) -> impl Iterator<Item = &Ratio> {
    measure.arms.iter().filter_map(|arm| arm.times_process.as_ref())
}

fn panel_height(measure: &OfMeasure) -> f64 {
    HEAD + ROW * ratios(measure).count() as f64 + FOOT
}

fn panel(svg: &mut String, report: &Report, measure: &OfMeasure, top: f64) {
    let scale = Scale::of(ratios(measure).flat_map(|ratio| ratio.samples.iter().copied()));
    let better = match measure.measure.better {
        Better::More => "more, to the right, is better",
        Better::Less => "less, to the left, is better",
    };
    text(svg, 16.0, top + 24.0, "font-weight=\"bold\"", measure.measure.title);
    text(svg, 16.0, top + 42.0, "fill=\"#555\"", &format!("{}: {better}", measure.measure.unit));
    let (first, last) = (top + HEAD - 6.0, top + panel_height(measure) - FOOT);
    for tick in scale.ticks() {
        line(svg, (scale.x(tick), first), (scale.x(tick), last), "#ddd", 1.0);
        text(svg, scale.x(tick), last + 16.0, "fill=\"#555\" text-anchor=\"middle\"", &trimmed(tick));
    }
    line(svg, (scale.x(1.0), first), (scale.x(1.0), last), "#333", 1.5);
    let mut y = top + HEAD + ROW / 2.0 - 6.0;
    for arm in &measure.arms {
        let Some(ratio) = &arm.times_process else { continue };
        text(svg, LEFT - 12.0, y + 4.0, "text-anchor=\"end\"", report.title(arm.arm));
        row(svg, &scale, ratio, y);
        y += ROW;
    }
}

fn row(svg: &mut String, scale: &Scale, ratio: &Ratio, y: f64) {
    for sample in &ratio.samples {
        let x = scale.x(*sample);
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#4477aa\" fill-opacity=\"0.35\"/>", y + 6.0)
            .ok();
    }
    let (low, high, middle) = (scale.x(ratio.median.low), scale.x(ratio.median.high), scale.x(ratio.median.value));
    let about =
        format!("{} ({} to {})", figure(ratio.median.value), figure(ratio.median.low), figure(ratio.median.high));
    writeln!(svg, "<g><title>{about}</title>").ok();
    line(svg, (low, y - 5.0), (high, y - 5.0), "#aa3377", 3.0);
    line(svg, (middle, y - 11.0), (middle, y + 1.0), "#aa3377", 3.0);
    svg.push_str("</g>\n");
}

/// Writing to a String cannot fail.
fn line(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
    writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>",
        from.0, from.1, to.0, to.1
    )
    .ok();
}

fn text(svg: &mut String, x: f64, y: f64, how: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {how}>{text}</text>").ok();
}

/// `0.95`, `1`, `1000`.
fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::tests::report;

    #[test]
    fn the_picture_has_a_point_a_round_and_a_line_where_nothing_differs() {
        let mut report = report();
        report.subject.directory = "/srv/<a & b>".to_owned();
        let svg = svg(&report);
        assert_eq!(svg.matches("<circle").count(), 60);
        assert_eq!(svg.matches("#333").count(), 2);
        assert!(svg.contains("/srv/&lt;a &amp; b&gt;"), "what is no markup is not taken for it");
        insta::assert_snapshot!(svg);
    }

    #[test]
    fn what_is_near_is_shown_plainly_and_what_is_far_by_powers_of_ten() {
        let near = Scale::of([0.95, 1.04].into_iter());
        assert!(!near.is_logarithmic && near.x(0.95) < near.x(1.0) && near.x(1.04) < WIDTH);
        assert_eq!(
            near.ticks().iter().map(|tick| trimmed(*tick)).collect::<Vec<_>>().join(" "),
            "0.94 0.96 0.98 1 1.02 1.04 1.06"
        );
        let far = Scale::of([0.9, 2881.0].into_iter());
        assert_eq!((far.is_logarithmic, far.ticks()), (true, vec![0.1, 1.0, 10.0, 100.0, 1000.0, 10_000.0]));
        assert!(Scale::of(std::iter::empty()).x(1.0).is_finite());
    }
}
