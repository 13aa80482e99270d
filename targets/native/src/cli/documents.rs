//! What the documents tell people to type is what the command line understands.

use std::path::Path;

use clap::{Command, CommandFactory};

use super::Cli;

#[test]
fn every_command_that_is_shown_is_understood() {
    let mut understood = 0;
    for (document, text) in documents() {
        for command in shown(&text) {
            let words = ["writ"].into_iter().chain(command.split_whitespace());
            if let Err(error) = Cli::command().try_get_matches_from(words) {
                panic!("{document}: `{command}`: {error}");
            }
            understood += 1;
        }
    }
    assert!(understood > 15, "{understood}");
}

/// In a sentence a command is mostly not whole, so its names alone are looked at.
#[test]
fn every_command_that_is_mentioned_is_there() {
    let mut root = Cli::command();
    root.build();
    let mut there = 0;
    for (document, text) in documents() {
        for mention in mentioned(&text) {
            if let Err(unknown) = find(&root, &mention) {
                panic!("{document}: `writ {mention}`: there is no `{unknown}`");
            }
            there += 1;
        }
    }
    assert!(there > 40, "{there}");
}

/// The name in a mention that is none: `keys new|rotate` names two commands, `--emergency` a flag of the
/// last one.
fn find(root: &Command, mention: &str) -> Result<(), String> {
    let mut command = root;
    for word in mention.split_whitespace() {
        if let Some(flag) = word.strip_prefix("--") {
            let name = flag.split('=').next();
            let known = command.get_arguments().any(|argument| argument.get_long() == name);
            known.then_some(()).ok_or(word)?;
        } else if command.has_subcommands() {
            let named = word.split('|').map(|name| command.find_subcommand(name).ok_or(name));
            command = named.collect::<Result<Vec<_>, _>>()?.pop().ok_or(word)?;
        }
    }
    Ok(())
}

/// The commands of the fenced blocks, without what runs them.
fn shown(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(|block| {
        let lines: Vec<String> = block.replace("\\\n", " ").lines().map(str::to_owned).collect();
        lines
    });
    let commands = lines.filter_map(|line| {
        let line = line.split(" #").next().unwrap_or_default().trim();
        let command = RUNNERS.iter().find_map(|runner| line.strip_prefix(runner))?;
        // What a shell does besides.
        command.split(" < ").next().map(str::to_owned)
    });
    // `SID` stands for a session's id, and has not its form.
    commands.map(|command| command.replace(" SID", &format!(" {}", "a".repeat(22)))).collect()
}

/// The commands of code within sentences and tables.
fn mentioned(text: &str) -> Vec<String> {
    let outside = text.split("```").step_by(2);
    let codes = outside
        .flat_map(|text| text.split("\n\n"))
        .flat_map(|text| text.split('`').skip(1).step_by(2));
    let mentions = codes.filter(|code| !code.starts_with(SAID));
    mentions.filter_map(|code| code.strip_prefix("writ ").map(str::to_owned)).collect()
}

/// Every document of the project, by its name.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for directory in ["", "docs", "docs/decisions", "examples", "tests"] {
        let listing = std::fs::read_dir(root.join(directory)).unwrap();
        files.extend(listing.map(|entry| entry.unwrap().path()).filter(|path| is_document(path)));
    }
    assert!(files.len() > 40, "{files:?}");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn is_document(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// What stands before a command.
const RUNNERS: [&str; 4] =
    ["cargo run --release -- ", "cargo run -- ", "target/release/writ ", "writ "];

/// What the Spin component says, which is no command.
const SAID: &str = "writ does not serve";
