"""git's settings, and what gitdeploy does with each: the one table that the command lines, preflight and the docs go by.

They may stand in .git/config, config.worktree, ~/.gitconfig, /etc/gitconfig or a file that one of these includes: git
itself reads them all, for the checkout's owner. What a setting could spoil is set otherwise on each command line.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Way = Literal["honoured", "neutralised", "refused", "no effect"]


class Setting(Struct, frozen=True):
    """A setting of git's, or those that a pattern names (`http.*`, as in `git help --config`). `pinned`: what every
    command of ours has instead. `text`: what that means for an operator."""

    name: str
    way: Way
    text: str
    pinned: str | None = None


SETTINGS = (
    # ---- how a file looks on disk ----
    Setting("core.fileMode", "honoured", "If false, permissions set by hand are not a local change: each backup records them, an upgrade keeps them, a restore brings them back."),
    Setting("core.autocrlf", "honoured", "Files get the line endings that your own git would give them."),
    Setting("core.eol", "honoured", "As core.autocrlf."),
    Setting("core.safecrlf", "neutralised", "git's warning about line endings would look like a file that can't be read.", "false"),
    Setting("core.checkRoundtripEncoding", "honoured", "The attribute working-tree-encoding is honoured too."),
    Setting("core.attributesFile", "honoured", "A relative path is refused: it names another file in every folder."),
    Setting("core.excludesFile", "honoured", "A file that it ignores stays when a release no longer tracks it. A relative path is refused."),
    Setting("attr.*", "honoured", "git reads attributes from the files of the release that it checks out."),
    Setting("core.symlinks", "refused", "Refused if it is false and the app has symbolic links: git would write their targets as plain text files.", "true"),
    Setting("core.ignoreCase", "neutralised", "The disk itself decides; a disk that ignores case is refused.", "false"),
    Setting("core.precomposeUnicode", "no effect", "Only git for macOS uses it."),
    Setting("core.protectHFS", "honoured", "git refuses a release with such a path."),
    Setting("core.protectNTFS", "honoured", "git refuses a release with such a path."),
    Setting("core.hideDotFiles", "no effect", "Only git for Windows uses it."),
    Setting("core.longPaths", "no effect", "Only git for Windows uses it."),
    Setting("core.maxTreeDepth", "honoured", "git refuses a release with deeper folders."),
    Setting("filter.*", "honoured", "git-crypt, git-lfs, your own. git starts the programs in the checkout, so a relative path works. A missing program is refused; a failing one stops the deployment."),
    Setting("lfs.*", "honoured", "Used by git-lfs; see git.lfs in deploy.yaml."),
    Setting("checkout.*", "honoured", "How many files git writes at once."),
    Setting("core.bigFileThreshold", "honoured", "It doesn't change the content of a file."),
    # ---- which files are there ----
    Setting("core.sparseCheckout", "honoured", "Files outside the patterns stay absent and your patterns stay; git 2.27 or newer."),
    Setting("core.sparseCheckoutCone", "honoured", "As core.sparseCheckout."),
    Setting("sparse.*", "honoured", "As core.sparseCheckout."),
    Setting("index.sparse", "neutralised", "A deployment writes the index in full; your next git command makes it sparse again.", "false"),
    Setting("core.splitIndex", "neutralised", "A deployment writes the index in one piece; your next git command splits it again.", "false"),
    Setting("splitIndex.*", "no effect", "See core.splitIndex."),
    Setting("index.*", "honoured", "The version and layout of the index."),
    Setting("core.worktree", "neutralised", "The checkout is the folder that contains its .git."),
    Setting("core.bare", "neutralised", "The checkout is the folder that contains its .git."),
    # ---- what has changed ----
    Setting("core.fsmonitor", "neutralised", "gitdeploy reads and compares every file that a release replaces.", "false"),
    Setting("core.fsmonitorHookVersion", "no effect", "See core.fsmonitor."),
    Setting("fsmonitor.*", "no effect", "See core.fsmonitor."),
    Setting("core.untrackedCache", "honoured", "gitdeploy doesn't query untracked files."),
    Setting("core.checkStat", "honoured", "It hides no edit: gitdeploy reads and compares every file that a release replaces."),
    Setting("core.trustctime", "honoured", "As core.checkStat."),
    Setting("core.ignoreStat", "honoured", "As core.checkStat."),
    Setting("core.preloadIndex", "honoured", "Speed only."),
    Setting("diff.ignoreSubmodules", "neutralised", "gitdeploy always checks submodules."),
    Setting("submodule.recurse", "neutralised", "gitdeploy itself switches submodules; see git.submodules.", "false"),
    Setting("submodule.*", "honoured", "The URL of a submodule on this server takes precedence over a release's."),
    Setting("feature.*", "honoured", "Through the settings that it turns on, as their rows say."),
    # ---- what the repository is ----
    Setting("core.repositoryFormatVersion", "honoured", "git refuses a format that it doesn't know."),
    Setting("extensions.refStorage", "refused", "Refs in reftable format are refused; gitdeploy supports files only."),
    Setting("extensions.partialClone", "honoured", "gitdeploy fetches missing objects with your login, those of a release at once; without the remote that is an error."),
    Setting("extensions.*", "honoured", "SHA-256, config.worktree and every other extension that your git can read."),
    Setting("core.useReplaceRefs", "neutralised", "Replaced objects are read as they are: a release is what its commit says."),
    Setting("core.sharedRepository", "honoured", "The index and HEAD keep their permissions."),
    Setting("core.preferSymlinkRefs", "neutralised", "HEAD becomes a plain file.", "false"),
    Setting("core.logAllRefUpdates", "honoured", "For the tags and refs that gitdeploy writes; HEAD has no reflog of a deployment."),
    Setting("core.filesRefLockTimeout", "honoured", "How long git waits for a ref's lock."),
    Setting("core.packedRefsTimeout", "honoured", "How long git waits for packed-refs."),
    Setting("core.createObject", "honoured", "How an object file is put into place."),
    Setting("core.fsync", "neutralised", "Everything that git writes is synced to disk.", "all"),
    Setting("core.fsyncMethod", "neutralised", "Everything that git writes is synced to disk.", "fsync"),
    Setting("core.fsyncObjectFiles", "neutralised", "Set for git before 2.36, which doesn't know core.fsync."),
    Setting("core.commitGraph", "honoured", "Speed only."),
    Setting("core.multiPackIndex", "honoured", "Speed only."),
    Setting("commitGraph.*", "no effect", "gitdeploy writes no commit-graph."),
    Setting("core.compression", "honoured", "For the objects that a backup writes."),
    Setting("core.looseCompression", "honoured", "For the objects that a backup writes."),
    Setting("core.alternateRefs*", "honoured", "For objects borrowed from another repository (alternates)."),
    Setting("gc.auto", "neutralised", "A deployment starts no garbage collection.", "0"),
    Setting("maintenance.auto", "neutralised", "A deployment starts no garbage collection.", "false"),
    Setting("gc.*", "no effect", "Your own git gc collects nothing that a backup holds: refs hold it."),
    Setting("maintenance.*", "no effect", "As gc.*."),
    Setting("include.path", "honoured", "Settings in included files count as if they were in the including file."),
    Setting("includeIf.*", "honoured", "As include.path."),
    # ---- what is run ----
    Setting("core.hooksPath", "neutralised", "gitdeploy runs no git hook.", "/dev/null"),
    Setting("core.pager", "no effect", "gitdeploy uses no pager."),
    Setting("core.editor", "no effect", "gitdeploy opens no editor."),
    # ---- whether a fetch works ----
    Setting("http.followRedirects", "neutralised", "A redirect is an error that names the address.", "false"),
    Setting("http.lowSpeed*", "neutralised", "A transfer below 200 bytes a second for a minute fails."),
    Setting("http.extraHeader", "honoured", "Also as http.URL.extraHeader. If gitdeploy has a token, it leaves out a login in such a header. If it has none and the host refuses the login, the error names the setting and the command that removes it."),
    Setting("http.*", "honoured", "proxy, sslVerify, sslCAInfo, sslCert, cookieFile, userAgent and the rest, also as http.URL.…"),
    Setting("url.*", "honoured", "insteadOf; the token goes only to the host that the rewritten address names. pushInsteadOf: gitdeploy pushes nothing."),
    Setting("credential.*", "honoured", "Used if gitdeploy has no token. A token takes precedence, and no helper stores it."),
    Setting("credentialCache.*", "honoured", "As credential.*."),
    Setting("credentialStore.*", "honoured", "As credential.*."),
    Setting("core.askPass", "neutralised", "gitdeploy never prompts for a password."),
    Setting("core.sshCommand", "honoured", "Without it, ssh doesn't prompt and gives up after 15 seconds."),
    Setting("ssh.variant", "honoured", "As core.sshCommand."),
    Setting("core.gitProxy", "honoured", "For git:// addresses."),
    Setting("protocol.version", "honoured", "The version of git's wire protocol."),
    Setting("protocol.*", "neutralised", "https, http, ssh, git and file are allowed, no other protocol."),
    Setting("safe.directory", "honoured", "In ~/.gitconfig or /etc/gitconfig, for a remote that is a folder of another user on this server; the error shows the command. The checkout itself needs no entry."),
    Setting("safe.bareRepository", "no effect", "gitdeploy always names the repository."),
    Setting("transfer.credentialsInUrl", "honoured", "git refuses a password in an address, or warns about it."),
    Setting("transfer.*", "honoured", "Except fsckObjects; see fetch.fsckObjects."),
    Setting("remote.*.fetch", "neutralised", "gitdeploy fetches one tag into a ref of its own and writes no other ref."),
    Setting("remote.*.prune*", "neutralised", "A deployment's fetch deletes no ref."),
    Setting("remote.*.tagOpt", "neutralised", "As remote.NAME.fetch."),
    Setting("remote.*", "honoured", "url, proxy, uploadpack, promisor, partialCloneFilter and the rest."),
    Setting("fetch.fsckObjects", "neutralised", "git checks all objects of a release.", "true"),
    Setting("fetch.fsck.skipList", "honoured", "git doesn't check the objects that you listed."),
    Setting("fetch.fsck.*", "neutralised", "Harmless faults of old history (badTimezone, zeroPaddedFilemode, missingEmail …) are warnings, as at the big hosts; dangerous faults are refused."),
    Setting("fetch.unpackLimit", "neutralised", "Fetched objects stay in a pack.", "1"),
    Setting("fetch.writeCommitGraph", "neutralised", "As gc.auto.", "false"),
    Setting("fetch.prune*", "neutralised", "A deployment's fetch deletes no ref."),
    Setting("fetch.recurseSubmodules", "neutralised", "See submodule.recurse."),
    Setting("fetch.*", "honoured", "How git communicates with the remote."),
    Setting("bundle.*", "honoured", "Where git fetches bundles from."),
    # ---- what is shown and signed ----
    Setting("core.quotePath", "neutralised", "gitdeploy reads names as bytes.", "false"),
    Setting("i18n.*", "neutralised", "gitdeploy shows commit subjects in UTF-8."),
    Setting("i18n.logOutputEncoding", "neutralised", "gitdeploy shows commit subjects in UTF-8.", "UTF-8"),
    Setting("color.*", "neutralised", "gitdeploy never asks git for colours."),
    Setting("color.ui", "neutralised", "gitdeploy never asks git for colours.", "false"),
    Setting("advice.*", "neutralised", "gitdeploy leaves out git's advice; its own hint is below the error."),
    Setting("advice.detachedHead", "neutralised", "gitdeploy leaves out git's advice.", "false"),
    Setting("advice.graftFileDeprecated", "neutralised", "Grafts are honoured, without a warning.", "false"),
    Setting("status.*", "neutralised", "gitdeploy sets each option of git status itself."),
    Setting("log.*", "neutralised", "As status.*."),
    Setting("commit.gpgSign", "neutralised", "Backups are unsigned commits.", "false"),
    Setting("gpg.*", "honoured", "For git.verify; see deploy.yaml."),
    Setting("merge.*", "no effect", "--merge-local-changes uses git merge-file, without drivers."),
    Setting("core.*", "no effect", "Every other core setting: texts, memory limits, other systems."),
)  # fmt: skip
"""A row that names a setting counts before one whose pattern it fits; of those, the first."""

ELSEWHERE = (
    "add.* alias.* am.* apply.* author.* blame.* branch.* browser.* clean.* clone.* column.* commit.* committer.* "
    "completion.* diff.* difftool.* fastimport.* format.* fsck.* gitcvs.* gitweb.* grep.* gui.* guitool.* help.* imap.* init.* "
    "instaweb.* interactive.* lsrefs.* mailinfo.* mailmap.* man.* mergetool.* notes.* pack.* pager.* pretty.* promisor.* pull.* "
    "push.* rebase.* receive.* reftable.* remotes.* repack.* rerere.* revert.* sendemail.* sendpack.* sequence.* showBranch.* "
    "ssh.* stash.* tag.* tar.* trace2.* trailer.* uploadarchive.* uploadpack.* uploadpackfilter.* user.* versionsort.* web.* "
    "worktree.* repository.* sideband.* hook.* replay.* scalar.* history.* default.* get-tar-commit-id.*"
).split()
"""Settings of commands that gitdeploy doesn't run, or of other programs."""

# Faults of old tools that the big hosts let pass (fetch.fsck.<msg-id> in git-config(1)): nothing on disk comes of them.
HARMLESS_FAULTS = (
    "badDate", "badDateOverflow", "badEmail", "badFilemode", "badName", "badTagName", "badTimezone", "missingEmail",
    "missingNameBeforeEmail", "missingSpaceBeforeDate", "missingSpaceBeforeEmail", "missingTaggerEntry", "multipleAuthors",
    "zeroPaddedDate", "zeroPaddedFilemode",
)  # fmt: skip
# Those that write outside of the checkout, run something, or make two things of one path: not to be turned off.
DANGEROUS_FAULTS = (
    "badTree", "duplicateEntries", "emptyName", "fullPathname", "gitmodulesName", "gitmodulesPath", "gitmodulesSymlink",
    "gitmodulesUrl", "hasDot", "hasDotdot", "hasDotgit", "nullSha1", "treeNotSorted",
)  # fmt: skip

PINNED = tuple(word for row in SETTINGS if row.pinned is not None for word in ("-c", f"{row.name}={row.pinned}"))
"""The words of a git command that set what is pinned."""

FETCHING = (
    *(f"fetch.fsck.{name}=warn" for name in HARMLESS_FAULTS),
    *(f"fetch.fsck.{name}=error" for name in DANGEROUS_FAULTS),
)
"""`-c` values of a fetch."""
