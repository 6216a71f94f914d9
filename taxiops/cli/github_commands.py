"""`taxiops github`: parse, call the workflows, render."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from taxiops.cli.shared import Outcome, Session, command, noun

app = noun("Tell GitHub what was done: comment, deployment, merge, release.")

PullRequest = Annotated[
    int, typer.Option("--pull-request", min=1, metavar="N", help="Number of the pull request.")
]
File = Annotated[
    Path, typer.Option("--file", metavar="FILE", help="Markdown to say; it is not trusted.")
]
Marker = Annotated[
    str,
    typer.Option("--marker", metavar="NAME", help="Which comment: there is one for each name."),
]
Environment = Annotated[
    str, typer.Option("--environment", metavar="NAME", help="Environment the commit went to.")
]
State = Annotated[
    Literal["in_progress", "success", "failure", "inactive", "error"],
    typer.Option("--state", help="What became of it."),
]
Ref = Annotated[
    str, typer.Option("--ref", metavar="SHA", help="Commit that went there (default: GITHUB_SHA).")
]
Description = Annotated[
    str,
    typer.Option("--description", metavar="TEXT", help="One line; cut at GitHub's 140 characters."),
]
LogUrl = Annotated[
    str, typer.Option("--log-url", metavar="URL", help="Where the log is (default: this run).")
]
Head = Annotated[
    str, typer.Option("--head", metavar="BRANCH", help="Branch that holds the commit.")
]
Base = Annotated[str, typer.Option("--base", metavar="BRANCH", help="Branch to bring forward.")]
Check = Annotated[
    bool, typer.Option("--check", help="Change nothing; say whether the commit is on the branch.")
]
MergeSha = Annotated[
    str, typer.Option("--sha", metavar="SHA", help="Exactly this commit (default: the newest).")
]
Tag = Annotated[str, typer.Option("--tag", metavar="TAG", help="Tag of the release.")]
Sha = Annotated[str, typer.Option("--sha", metavar="SHA", help="Commit that is released.")]
Title = Annotated[str, typer.Option("--title", metavar="TEXT", help="Title of the release.")]
Notes = Annotated[
    Path, typer.Option("--notes", metavar="FILE", help="Markdown notes; they are not trusted.")
]


@command(app, "comment", places_itself=True)
def comment(
    session: Session, pull_request: PullRequest, file: File, marker: Marker = "report"
) -> Outcome:
    """Put a file on a pull request as one comment, updated in place by later calls.

    GITHUB_TOKEN needs `pull-requests: write`. Comments by others are left alone.
    """
    from taxiops.workflows.github.comment import comment as run

    result = run(pull_request, file, marker, session.progress)
    return Outcome(
        result,
        headline=f"{result.repository}#{result.pull_request}: comment {result.done}.",
        blocks=(result.url,),
        outputs={"comment_url": result.url},
    )


@command(app, "deployment", places_itself=True)
def deployment(
    session: Session,
    environment: Environment,
    state: State,
    ref: Ref = "",
    description: Description = "",
    log_url: LogUrl = "",
) -> Outcome:
    """Show on a commit that this run deployed it, and what became of that.

    GITHUB_TOKEN needs `deployments: write`. A later call of the same run updates the same one.
    """
    from taxiops.workflows.github.deployment import DeploymentWish, record_deployment

    wish = DeploymentWish(environment, state, ref, description, log_url)
    result = record_deployment(wish, session.progress)
    note = "" if result.changed else " already"
    return Outcome(
        result,
        headline=f"{result.repository}: {result.environment} is {result.state}{note} "
        f"for {result.commit[:10]} (deployment {result.deployment_id}).",
        outputs={"deployment_id": str(result.deployment_id)},
    )


@command(app, "merge", places_itself=True)
def merge(
    session: Session, head: Head, base: Base, sha: MergeSha = "", check: Check = False
) -> Outcome:
    """Bring a branch forward to a commit of another, by fast-forward where possible.

    GITHUB_TOKEN needs `contents: write` and, where a ruleset guards the base, to be its bypass
    actor. Nothing is ever forced; what is merged already stays.
    """
    from taxiops.workflows.github.merge import merge as run

    result = run(head, base, sha, session.progress, only_check=check)
    ways = {
        "possible": f"can be brought to {result.commit[:10]}, which {result.head} holds",
        "already": f"holds {result.commit[:10]} already",
        "fast-forward": f"is fast-forwarded to {result.commit[:10]}",
        "merge": f"has {result.commit[:10]} merged in as {result.merged_sha[:10]}",
    }
    return Outcome(
        result,
        headline=f"{result.repository}: {result.base} {ways[result.how]}.",
        outputs={"merged_sha": result.merged_sha},
    )


@command(app, "release", places_itself=True)
def release(session: Session, tag: Tag, sha: Sha, title: Title, notes: Notes) -> Outcome:
    """Publish a release with notes on a commit, or update the one that is there.

    GITHUB_TOKEN needs `contents: write`. A tag that points to another commit is refused.
    """
    from taxiops.workflows.github.release import release as run

    result = run(tag, sha, title, notes, session.progress)
    return Outcome(
        result,
        headline=f"{result.repository}: release {result.tag} {result.done} "
        f"on {result.commit[:10]}.",
        blocks=(result.url,),
        outputs={"release_url": result.url},
    )
