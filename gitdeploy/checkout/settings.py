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
    Setting("core.fileMode", "honoured", "Where it is false, permissions set by hand are no local change: recorded in each backup, kept by an upgrade, brought back by a restore."),
    Setting("core.autocrlf", "honoured", "Files get the line ends that your own git would give them."),
    Setting("core.eol", "honoured", "As core.autocrlf."),
    Setting("core.safecrlf", "neutralised", "A warning about line ends would be taken for a file that can't be read.", "false"),
    Setting("core.checkRoundtripEncoding", "honoured", "So is the attribute working-tree-encoding."),
    Setting("core.attributesFile", "honoured", "A relative path is refused: it means another file in every folder."),
    Setting("core.excludesFile", "honoured", "What it ignores stays where a release no longer tracks it. A relative path is refused."),
    Setting("attr.*", "honoured", "Attributes are read from the files of the release that is being checked out."),
    Setting("core.symlinks", "refused", "Where it is false and the app has links: their texts stand where links belong.", "true"),
    Setting("core.ignoreCase", "neutralised", "The disk itself decides; one that ignores case is refused.", "false"),
    Setting("core.precomposeUnicode", "no effect", "Only git for macOS knows it."),
    Setting("core.protectHFS", "honoured", "A release with such a path is refused by git."),
    Setting("core.protectNTFS", "honoured", "A release with such a path is refused by git."),
    Setting("core.hideDotFiles", "no effect", "Only git for Windows knows it."),
    Setting("core.longPaths", "no effect", "Only git for Windows knows it."),
    Setting("core.maxTreeDepth", "honoured", "A deeper release is refused by git."),
    Setting("filter.*", "honoured", "git-crypt, git-lfs, your own. Programs are started in the checkout, so a relative path works; one that is missing is refused, one that fails stops the deployment."),
    Setting("lfs.*", "honoured", "By git-lfs; see git.lfs in deploy.yaml."),
    Setting("checkout.*", "honoured", "How many files are written at once."),
    Setting("core.bigFileThreshold", "honoured", "Nothing of a file changes by it."),
    # ---- which files are there ----
    Setting("core.sparseCheckout", "honoured", "What is outside stays absent, your patterns stay; git 2.27 or newer."),
    Setting("core.sparseCheckoutCone", "honoured", "As core.sparseCheckout."),
    Setting("sparse.*", "honoured", "As core.sparseCheckout."),
    Setting("index.sparse", "neutralised", "A deployment writes the index in full; your next git command makes it sparse again.", "false"),
    Setting("core.splitIndex", "neutralised", "A deployment writes the index in one piece; your next git command splits it again.", "false"),
    Setting("splitIndex.*", "no effect", "See core.splitIndex."),
    Setting("index.*", "honoured", "The version and layout of the index."),
    Setting("core.worktree", "neutralised", "The checkout is the folder that its .git stands in."),
    Setting("core.bare", "neutralised", "The checkout is the folder that its .git stands in."),
    # ---- what has changed ----
    Setting("core.fsmonitor", "neutralised", "Every file that a release replaces is read and compared.", "false"),
    Setting("core.fsmonitorHookVersion", "no effect", "See core.fsmonitor."),
    Setting("fsmonitor.*", "no effect", "See core.fsmonitor."),
    Setting("core.untrackedCache", "honoured", "Untracked files are not asked for."),
    Setting("core.checkStat", "honoured", "It hides no edit: every file that a release replaces is read and compared."),
    Setting("core.trustctime", "honoured", "As core.checkStat."),
    Setting("core.ignoreStat", "honoured", "As core.checkStat."),
    Setting("core.preloadIndex", "honoured", "Speed only."),
    Setting("diff.ignoreSubmodules", "neutralised", "Submodules are always looked at."),
    Setting("submodule.recurse", "neutralised", "Submodules are switched by gitdeploy; see git.submodules.", "false"),
    Setting("submodule.*", "honoured", "The URL of a submodule on this server counts before a release's."),
    Setting("feature.*", "honoured", "Through the settings that it turns on, as these rows say."),
    # ---- what the repository is ----
    Setting("core.repositoryFormatVersion", "honoured", "git refuses one that it doesn't know."),
    Setting("extensions.refStorage", "refused", "Refs in reftable format; files only."),
    Setting("extensions.partialClone", "honoured", "Objects that were left out are fetched with your login, those of a release at once; without the remote that is an error."),
    Setting("extensions.*", "honoured", "SHA-256, config.worktree and whatever else your git can read."),
    Setting("core.useReplaceRefs", "neutralised", "Replaced objects count as they are: a release is what its commit says."),
    Setting("core.sharedRepository", "honoured", "The index and HEAD keep their permissions."),
    Setting("core.preferSymlinkRefs", "neutralised", "HEAD becomes a plain file.", "false"),
    Setting("core.logAllRefUpdates", "honoured", "Of the tags and refs that gitdeploy writes; HEAD has no reflog of a deployment."),
    Setting("core.filesRefLockTimeout", "honoured", "How long a ref's lock is waited for."),
    Setting("core.packedRefsTimeout", "honoured", "How long packed-refs is waited for."),
    Setting("core.createObject", "honoured", "How an object file is put into place."),
    Setting("core.fsync", "neutralised", "All that git writes is synced.", "all"),
    Setting("core.fsyncMethod", "neutralised", "All that git writes is synced.", "fsync"),
    Setting("core.fsyncObjectFiles", "neutralised", "Set for a git before 2.36, which knows no core.fsync."),
    Setting("core.commitGraph", "honoured", "Speed only."),
    Setting("core.multiPackIndex", "honoured", "Speed only."),
    Setting("commitGraph.*", "no effect", "No commit-graph is written."),
    Setting("core.compression", "honoured", "Of the objects that a backup writes."),
    Setting("core.looseCompression", "honoured", "Of the objects that a backup writes."),
    Setting("core.alternateRefs*", "honoured", "With objects borrowed from another repository (alternates)."),
    Setting("gc.auto", "neutralised", "A deployment starts no collection.", "0"),
    Setting("maintenance.auto", "neutralised", "A deployment starts no collection.", "false"),
    Setting("gc.*", "no effect", "Your own git gc collects nothing that a backup holds: refs hold it."),
    Setting("maintenance.*", "no effect", "As gc.*."),
    Setting("include.path", "honoured", "Settings of included files count as if they stood there."),
    Setting("includeIf.*", "honoured", "As include.path."),
    # ---- what is run ----
    Setting("core.hooksPath", "neutralised", "No git hook is run.", "/dev/null"),
    Setting("core.pager", "no effect", "Nothing is paged."),
    Setting("core.editor", "no effect", "Nothing is edited."),
    # ---- whether a fetch works ----
    Setting("http.followRedirects", "neutralised", "A redirect is an error that names the address.", "false"),
    Setting("http.lowSpeed*", "neutralised", "A remote that sends less than 200 bytes a second for a minute has failed."),
    Setting("http.extraHeader", "honoured", "Also as http.URL.extraHeader. Where gitdeploy has a token, a login in such a header is left out; where it has none and the host refuses it, the error names the setting and the command that removes it."),
    Setting("http.*", "honoured", "proxy, sslVerify, sslCAInfo, sslCert, cookieFile, userAgent and the rest, also as http.URL.…"),
    Setting("url.*", "honoured", "insteadOf; the token goes only to the host that the address then has. pushInsteadOf: nothing is pushed."),
    Setting("credential.*", "honoured", "Where gitdeploy has no token. It has precedence where it has one, and is stored by no helper."),
    Setting("credentialCache.*", "honoured", "As credential.*."),
    Setting("credentialStore.*", "honoured", "As credential.*."),
    Setting("core.askPass", "neutralised", "Nobody is asked."),
    Setting("core.sshCommand", "honoured", "Without it, ssh asks nothing and gives up after 15 seconds."),
    Setting("ssh.variant", "honoured", "As core.sshCommand."),
    Setting("core.gitProxy", "honoured", "For git:// addresses."),
    Setting("protocol.version", "honoured", "Of git's own protocol."),
    Setting("protocol.*", "neutralised", "https, http, ssh, git and file are allowed, no other."),
    Setting("safe.directory", "honoured", "In ~/.gitconfig or /etc/gitconfig, for a remote that is a folder of another user's on this server; the error has the command. The checkout itself needs none."),
    Setting("safe.bareRepository", "no effect", "The repository is always named."),
    Setting("transfer.credentialsInUrl", "honoured", "git refuses or warns of a password in an address."),
    Setting("transfer.*", "honoured", "But for fsckObjects, see fetch.fsckObjects."),
    Setting("remote.*.fetch", "neutralised", "One tag is fetched, into a ref of gitdeploy's own; no other ref is written."),
    Setting("remote.*.prune*", "neutralised", "A deployment's fetch deletes no ref."),
    Setting("remote.*.tagOpt", "neutralised", "As remote.NAME.fetch."),
    Setting("remote.*", "honoured", "url, proxy, uploadpack, promisor, partialCloneFilter and the rest."),
    Setting("fetch.fsckObjects", "neutralised", "All objects of a release are checked.", "true"),
    Setting("fetch.fsck.skipList", "honoured", "Objects that you have named are not checked."),
    Setting("fetch.fsck.*", "neutralised", "Harmless faults of old history (badTimezone, zeroPaddedFilemode, missingEmail …) are warnings, as at the big hosts; dangerous ones are refused."),
    Setting("fetch.unpackLimit", "neutralised", "What is fetched stays a pack.", "1"),
    Setting("fetch.writeCommitGraph", "neutralised", "As gc.auto.", "false"),
    Setting("fetch.prune*", "neutralised", "A deployment's fetch deletes no ref."),
    Setting("fetch.recurseSubmodules", "neutralised", "See submodule.recurse."),
    Setting("fetch.*", "honoured", "How git talks to the remote."),
    Setting("bundle.*", "honoured", "Where git fetches bundles from."),
    # ---- what is shown and signed ----
    Setting("core.quotePath", "neutralised", "Names are read as bytes.", "false"),
    Setting("i18n.*", "neutralised", "Subjects of commits are shown in UTF-8."),
    Setting("i18n.logOutputEncoding", "neutralised", "Subjects of commits are shown in UTF-8.", "UTF-8"),
    Setting("color.*", "neutralised", "git is never asked for colours."),
    Setting("color.ui", "neutralised", "git is never asked for colours.", "false"),
    Setting("advice.*", "neutralised", "git's advice is left out; ours stands below the error."),
    Setting("advice.detachedHead", "neutralised", "git's advice is left out.", "false"),
    Setting("advice.graftFileDeprecated", "neutralised", "Grafts are honoured, and not commented on.", "false"),
    Setting("status.*", "neutralised", "The form of git status is asked for option by option."),
    Setting("log.*", "neutralised", "As status.*."),
    Setting("commit.gpgSign", "neutralised", "Backups are commits without a signature.", "false"),
    Setting("gpg.*", "honoured", "For git.verify; see deploy.yaml."),
    Setting("merge.*", "no effect", "--merge-local-changes is git merge-file, without drivers."),
    Setting("core.*", "no effect", "Whatever else there is: texts, limits of memory, other systems."),
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
