//! The command line of the benchmark. Pure.

use std::path::PathBuf;

/// What can be measured, in the order in which it is.
pub const AREAS: [&str; 7] = ["image", "flash", "boot", "memory", "pod", "container", "power_cuts"];

/// As many as CI has time for.
const POWER_CUTS: u32 = 5;

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The image to measure.
    pub image: PathBuf,
    /// Where the figures go as JSON.
    pub json: Option<PathBuf>,
    /// What to measure, out of [`AREAS`].
    pub areas: Vec<&'static str>,
    /// How often to cut the power.
    pub power_cuts: u32,
}

/// How the command is called.
pub fn usage() -> String {
    format!(
        "usage: bench IMAGE [--json FILE] [--power-cuts N] [AREA…]\nareas: {}; all when none is named",
        AREAS.join(" ")
    )
}

/// Reads the arguments; `power_cuts` is the setting of `HOLM_POWER_CUTS`.
pub fn parse(
    mut arguments: impl Iterator<Item = String>,
    power_cuts: Option<&str>,
) -> Result<Options, String> {
    let image = PathBuf::from(arguments.next().ok_or("no image is named")?);
    let number = |from: &str, text: &str| match text.parse() {
        Ok(cuts) if cuts > 0 => Ok(cuts),
        _ => Err(format!("{from} is '{text}', which is no number of cuts")),
    };
    let power_cuts = power_cuts.map_or(Ok(POWER_CUTS), |text| number("HOLM_POWER_CUTS", text))?;
    let mut options = Options { image, json: None, areas: Vec::new(), power_cuts };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => options.json = Some(value()?.into()),
            "--power-cuts" => options.power_cuts = number("--power-cuts", &value()?)?,
            name => match AREAS.iter().find(|area| **area == name) {
                Some(area) => options.areas.push(area),
                None => return Err(format!("unknown area or option '{name}'")),
            },
        }
    }
    if options.areas.is_empty() {
        options.areas = AREAS.to_vec();
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(line.split_whitespace().map(str::to_owned), None)
    }

    #[test]
    fn image_options_and_areas_are_told_apart() {
        let expected = Options {
            image: "i.img".into(),
            json: Some("o.json".into()),
            areas: vec!["boot", "pod"],
            power_cuts: 7,
        };
        assert_eq!(parsed("i.img boot --json o.json --power-cuts 7 pod"), Ok(expected));
    }

    #[test]
    fn all_areas_are_measured_when_none_is_named() {
        let options = parsed("i.img").unwrap();
        assert_eq!((options.areas, options.power_cuts), (AREAS.to_vec(), 5));
    }

    #[test]
    fn the_argument_wins_over_the_environment() {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let of = |line, setting| parse(words(line).into_iter(), setting).map(|o| o.power_cuts);
        assert_eq!(of("i.img", Some("100")), Ok(100));
        assert_eq!(of("i.img --power-cuts 3", Some("100")), Ok(3));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_reason() {
        for (line, reason) in [
            ("", "no image"),
            ("i.img boto", "'boto'"),
            ("i.img --json", "needs a value"),
            ("i.img --power-cuts 0", "'0'"),
            ("i.img --power-cuts many", "'many'"),
        ] {
            let error = parsed(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
