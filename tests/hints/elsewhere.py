"""Hints that other tests follow, and those that are no act of whoever reads them on this machine."""

from __future__ import annotations

_OWNERS = "hints/test_hints_of_owners.py::"
_DISK = "hints/test_hints_of_the_disk.py::"
_VENV = "hints/test_hints_of_the_venv.py::"
_MODULES = "hints/test_hints_submodules.py::"
_WAYS_OUT = "e2e/test_ways_out.py::"

FOLLOWED_ELSEWHERE = {
    "gitdeploy unskip {}": "test_watch.py::test_what_somebody_went_back_from_is_not_installed_by_the_next_tick",
    # by tests beside this one
    "Bring it back: git {}submodule update": _MODULES + "test_the_hint_solves_it",
    "Put it back: {}; or go on: --discard-local-changes": _MODULES + "test_the_hint_solves_it",
    "Take it out of the index: git {}reset": _MODULES + "test_the_hint_solves_it",
    "Move it below .git/modules first": _MODULES + "test_repositories_inside_are_moved_below_git",
    "Move it away first: mv {} ELSEWHERE": _MODULES + "test_a_repository_of_ones_own_in_the_way_is_moved",
    "See to the submodules yourself": _MODULES + "test_large_files_of_a_submodule_from_another_host",
    "Make it readable for its owner: chmod": _OWNERS + "test_ones_own_files_are_opened",
    "chmod -R u+rwX": _OWNERS + "test_ones_own_files_are_opened",
    "Run it as its owner: ": _OWNERS + "test_the_owner_is_to_type_the_same",
    "As root: {}\nSee what it would write": _OWNERS + "test_root_is_to_install_the_unit",
    "chmod o-w": _OWNERS + "test_everybody_may_write_there",
    "Give all of it to one of them": _OWNERS + "test_a_part_is_another_users",
    "Name the checkout itself": _OWNERS + "test_a_link_of_somebody_elses",
    "Call the program itself": _OWNERS + "test_root_calls_the_program_or_goes_elsewhere",
    "As root: chown -Rh": _OWNERS + "test_doctor_gives_all_of_it_to_one",
    "dmesg says why. As root: mount -o remount,rw": _OWNERS + "test_a_file_system_that_is_read_only",
    "Files can't be renamed across mounts.": _OWNERS + "test_a_mount_inside_the_checkout",
    "Go to the app's folder anew": _OWNERS + "test_the_folder_is_gone",
    "Go to the folder of your app's checkout": _OWNERS + "test_a_folder_that_is_no_checkout",
    "gitdeploy -C DIR takes the app's checkout.": _OWNERS + "test_a_folder_that_is_no_checkout",
    "Make room, then try again.": _DISK + "test_with_room_again_the_same_command_goes_on",
    "Make room on the disk, then run: gitdeploy recover": _DISK + "test_with_room_again_an_undoing_goes_on",
    "Make room. To drop old backups": _DISK + "test_backups_make_room",
    "To see which old backups could go": _DISK + "test_doctor_says_what_could_go",
    "Delete small files": _DISK + "test_inodes",
    "Build it anew: gitdeploy upgrade {} --rebuild-venv": _VENV + "test_the_hint_solves_it",
    "Make it absolute: ln -sfn": _VENV + "test_the_hint_solves_it",
    "As root: chown -R --from=": _VENV + "test_the_hint_solves_it",
    "Make it a link once": _VENV + "test_a_venv_that_is_a_mount_becomes_a_link",
    "If you trust them: venv: {allow_index_options: true}": _VENV + "test_package_sources_of_the_release_are_trusted",
    "Objects are missing or damaged: git fsck names them.": "hints/test_hints_are_followed.py::test_the_hint_solves_it",
    "Delete them: gitdeploy doctor --repair": "hints/test_hints_are_followed.py::test_the_hint_solves_it",
    "{}\nTo look at the rest: gitdeploy doctor": "hints/test_hints_are_followed.py::test_the_hint_solves_it",
    # by older ones
    "Fix that, then: gitdeploy recover": _WAYS_OUT + "test_no_permission_on_the_way_back",
    "Without it: {}": _WAYS_OUT + "test_a_mistake_in_deploy_yaml_has_two_ways_out",
    "To leave the data as they are": "e2e/test_data_sqlite.py::test_data_that_can_not_be_put_back_are_left_as_they_are_where_deploy_yaml_says_so",
    "To have one, write into deploy.yaml": "hooks/test_hooks_library.py::test_the_command_line_lists_installs_and_shows_what_will_run",
    "As root: rm -rf": "e2e/test_packages.py::test_what_root_left_in_the_venv_stops_nothing",
    "Nothing uses it. Delete it as root: rm -rf": "e2e/test_packages.py::test_what_root_left_in_the_venv_stops_nothing",
    "venv: {requirements: [{}]} in deploy.yaml": "e2e/test_packages.py::test_a_lock_that_nothing_installs_is_said_and_one_that_is_named_is_installed",
    "See what it will hold: gitdeploy plan": "e2e/test_packages.py::test_another_interpreter_is_a_new_venv_and_the_same_one_by_another_name_is_not",
    "Keep yours, in deploy.yaml:": "e2e/test_data_the_app_has_open.py::test_a_database_that_only_the_releases_own_settings_name_is_not_replaced",
    "The hook and the app mean different databases.": "e2e/test_migration_goes_to_the_apps_database.py::test_the_env_file_that_the_service_has_reaches_the_migration",
    "Its pyvenv.cfg is missing or damaged.": _VENV + "test_the_hint_solves_it",
    "Compare the venv's packages by hand": _VENV + "test_the_hint_solves_it",
    "The dumps and files from before are in": _WAYS_OUT + "test_no_permission_on_the_way_back",
    "sudo chown -R": "e2e/test_git_settings.py::test_what_root_left_is_found_before_anything_is_made_and_the_hint_mends_it",
    "The remote has dropped it; drop it here too": "e2e/test_git_settings.py::test_tags_that_cannot_be_beside_each_other",
    "Make it (an empty one will do)": "e2e/test_git_settings.py::test_a_setting_that_names_what_is_not_there_is_said",
    "If you trust it: git {}config {} {}{}": "e2e/test_submodules.py::test_a_url_that_is_not_trusted_is_named_with_the_command_that_trusts_it",
    "Its settings say so (git.keep": "e2e/test_submodules.py::test_one_that_is_left_alone",
    "If it is an old one: git config": "sources/test_git_login.py::test_without_a_login_of_ours_the_setting_is_named_and_the_hint_removes_it",
    "If it is an old one: git remote set-url": "sources/test_git_login.py::test_a_refused_password_of_the_url_is_named_and_the_hint_removes_it",
    "If you trust it: git config --global --add safe.directory": "sources/test_git_login.py::test_a_remote_of_another_owner_is_one_sentence_with_the_cure",
    "To install it: gitdeploy upgrade": "sources/test_direction.py::test_a_release_that_lacks_commits_of_heads_branch_is_installed_only_by_name",
    "Recover it, then type this again": "e2e/test_one_step_back.py::test_data_are_not_replaced_unasked_where_something_was_interrupted",
    "To go forward: ": "e2e/test_one_step_back.py::test_a_second_rollback_says_that_it_goes_forward_and_offers_the_one_before",
    "To undo it: gitdeploy rollback --yes": "e2e/test_one_step_back.py::test_a_rollback_that_waits_for_a_running_upgrade",
    "Fix that, then: gitdeploy recover --again": "e2e/test_faults_recovery.py::test_a_recovery_that_fails_three_times_the_same_way_stops_and_says_what_to_do",
    "Put it right: gitdeploy recover": "e2e/test_faults_recovery.py::test_the_next_command_recovers_by_itself_and_says_so",
    "Bring another backup back": _WAYS_OUT + "test_the_stage_is_gone_and_so_is_the_backup",
    "Its backup {} is gone too.": _WAYS_OUT + "test_the_stage_is_gone_and_so_is_the_backup",
    "Bring its backup back": "e2e/test_faults_recovery.py::test_the_stage_of_an_interrupted_deployment_was_deleted_by_hand",
    "Or go on from {}, whose files are whole": _WAYS_OUT + "test_the_stage_is_gone_and_so_is_the_backup",
    "Put a release in its place": _WAYS_OUT + "test_the_stage_and_every_backup_are_gone_between_two_releases",
    "Put it back, or write a new one: gitdeploy init": _WAYS_OUT + "test_deploy_yaml_is_gone",
    "{} run: gitdeploy recover": _WAYS_OUT + "test_no_permission_on_the_way_back",
    "Wait for it (`--wait SECONDS`)": "e2e/test_faults_lock.py::test_one_that_waits_begins_when_the_first_has_ended",
    "Make room there, or do without: backup": "e2e/test_data_sqlite.py::test_a_disk_without_room_beside_the_database_is_refused",
    "Name it there, or bring back code and venv alone": "e2e/test_data_told_and_asked.py::test_a_dump_that_no_setting_matches_is_refused_before_anything_is_touched",
    "The code alone: gitdeploy restore": "e2e/test_data_told_and_asked.py::test_a_rollback_to_a_version_takes_a_backup_whose_data_are_that_versions",
    "If it holds hooks of gitdeploy's": "hooks/test_hooks_asked_for.py::test_hooks_that_nobody_asked_for_are_named_with_both_ways_out",
    "Stop it, then start it once as": "services/test_gunicorn_script.py::test_one_that_would_stay_on_an_old_venv_is_known_before_anything_begins",
    "Set service.signal to USR2": "services/test_gunicorn_script.py::test_a_preloaded_app_that_hup_would_leave_as_it_is_is_known_before",
}
"""The beginning of a hint's template -> the test that follows it."""

NOT_COMMANDS = {
    "installs a package of the system's or gitdeploy itself, from a registry": [
        "Install it: apt-get install", "apt-get install git-lfs", "Upgrade git.", "On Debian and Ubuntu: apt-get install",
        "apt install supervisor", "Install what it needs: {}", "Install it anew, from where", "Install util-linux",
        "Install one, or name it: venv", "Install gitdeploy again", "Install that newer gitdeploy.", "Install one for root",
        "Upgrade git, or have all files here", "Change it: git refs migrate", "Run it as {}: {}\nInstall one for root",
    ],
    "lists what another answer of the same host has": ["`gitdeploy releases --all` lists its tags."],
    "tells whoever writes Python against `App.repo`": ["Let git do it: {}", "Ask git: repo.git", "Run git itself: subprocess"],
    "asks the release's author, or the remote's": [
        "Ask the release's author", "Such a release can't be installed", "A release is a tag of a commit.", "It is not what its name says.",
        "Only releases signed by a known key", "List the keys that may sign", "Ask its author. Where you know the object",
        "Put a folder in the link's place, or install the app without -e.", "Such a package can't be installed.", "Push it there first.",
        "A filter of .gitattributes failed", "The filters' commands",
    ],
    "is about the network, or a login at another machine": [
        "Check the network", "Check the remote's URL", "Check the URL", "Check the clock and the CA", "Codeup's git wants",
        "Connect once by hand", "Find out why before you go on", "Give this server's key access", "No token is sent over plain http",
        "Set a token in .env", "Set the address it leads to", "Set the token (see", "See that the remote can be reached",
        "A public repository needs no token", "https://, ssh://, user@host:path",
    ],
    "a service manager's, or a database server's own: tests/services and tests/databases have them": [
        "service.command in deploy.yaml", "{} config, in the checkout, as {}", "It has: {}.", "service.timeout says how long",
        "systemctl", "systemd-analyze verify", "See that the URL has the right user", "Something holds a lock on a table",
        "supervisorctl status", "Give it user=", "Give it User=", "Let {} restart just this unit", "This machine was not started by systemd",
        "From this checkout run", "Set service.", "Docker has no compose here", "Install Docker", "There is no docker", "Make your init run", "Start it, and look at its log.",
    ],
    "judgement on one's own files, code or data": [
        "Restore another backup (gitdeploy backups)", "See venv: in deploy.yaml.", "let the release bring a requirements.txt",
        "venv: {self: editable}", "Through hard links other generations", "Move the database out of the checkout",
        "The database itself may be damaged", "It is {}", "{} and what is in it must be folders", "A hook may change files in the checkout",
        "See: git sparse-checkout list", "deploy.yaml names no folder of hooks.", "Stop what uses that port",
    ],
    "a fault of gitdeploy's own, or of the disk under it, to be reported": [
        "Nothing was touched. It is a fault of gitdeploy", "Run the command again with -v", "See the whole log: gitdeploy log",
    ],
    "the machine's own file systems, clock or memory": [
        "Move the checkout to another file system", "Put the checkout on a local disk", "Set it: timedatectl", "Look for a full disk",
        "The file system is read-only.", "It is on another mount", "It belongs to another user or is immutable",
        "The live venv was not touched.",
    ],
    "whoever may: the owner, for whom the same command is right": [
        "Run gitdeploy as the checkout's owner.", "Run gitdeploy as the owner of", "Do it as {}, or with the command gitdeploy",
        "Make it readable for the user that runs gitdeploy", "See who owns it and its mode", "Run it outside the container",
        "Run the same on the server, in a terminal.", "Run it from a login shell", "Is it running, and may {}", "Is supervisord running",
    ],
    "the same command again, once somebody else's work has ended": [
        "Run it again.", "Somebody ran git there meanwhile.", "Nothing of it is lost.", "Wait until that has ended", "Watch it: gitdeploy log -f",
        "Nothing was changed there. Run the upgrade again.", "Try again in a moment.", "Run gitdeploy again.",
        "The next command puts it right by itself",
    ],
}  # fmt: skip
"""Why nothing here follows them -> the beginnings of their templates."""
