"""Upgrading, restoring and holding with the page, while the app that serves it is itself restarted."""

from __future__ import annotations

import re
from typing import Any

from web.browser.shop import Shop


def upgrade(tab: Any, tag: str) -> None:
    """Press the button, read the plan, confirm."""
    tab.get_by_role("button", name=f"Upgrade to {tag}", exact=True).click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_text("What happens").wait_for()
    dialog.get_by_role("button", name=f"Upgrade to {tag}").click()


def test_check_read_the_plan_and_upgrade_while_the_app_restarts(shop: Shop, open_page: Any, shoot: Any) -> None:
    tab = open_page(shop)
    tab.get_by_role("heading", name="This is the newest release").wait_for()
    shop.publish("1.1.0", migrate="echo one column added; sleep 1")
    tab.get_by_role("button", name="Check for updates").click()
    tab.get_by_role("heading", name="v1.1.0 is available").wait_for()
    assert tab.locator("#now").get_by_text("two tickets from the list").is_visible()
    tab.get_by_text("What would change").click()
    plan = tab.locator(".what .plan-place")
    plan.get_by_text("1 commit, 4 files, 1 package").wait_for()
    assert "The database is migrated: hooks/migrate." in plan.inner_text()
    plan.locator("summary", has_text="Packages").click()
    assert plan.locator(".packages").inner_text() == "greeting 1.0 → 1.1"
    shoot(tab, "update-plan", full_page=True)
    tab.get_by_text("What would change").click()
    shoot(tab, "update")

    # Tried on a copy first: it says what it came to, and leaves what is live and what is offered as they are.
    tab.get_by_role("button", name="Rehearse it", exact=True).click()
    tab.get_by_role("heading", name="Rehearsing v1.1.0").wait_for()
    tab.locator("[data-rehearsal]", has_text="Rehearsed ").wait_for()
    assert "migration 1" in tab.locator("[data-rehearsal]").inner_text()
    assert (shop.version(), tab.locator(".version").inner_text()) == ("1.0.0", "v1.0.0")

    dialog = tab.get_by_role("dialog", name="Upgrade otrs-web to v1.1.0?")
    tab.get_by_role("button", name="Upgrade to v1.1.0", exact=True).click()
    dialog.get_by_text("A backup of v1.0.0 is made first.").wait_for()
    shoot(tab, "confirm")
    dialog.get_by_role("button", name="Upgrade to v1.1.0").click()
    tab.get_by_role("heading", name="Upgrading to v1.1.0").wait_for()
    tab.locator(".step.running", has_text="Migrate the database").wait_for()
    shoot(tab, "running")
    tab.get_by_role("heading", name="v1.1.0 is live").wait_for()
    assert shop.version() == "1.1.0"
    assert tab.locator(".version").inner_text() == "v1.1.0"
    assert tab.get_by_role("heading", name="This is the newest release").is_visible()
    tab.get_by_role("status").get_by_text("v1.1.0 is live").wait_for()  # a screen reader hears it
    tab.locator("[data-part=deployments] summary").first.click()
    tab.get_by_text("one column added").wait_for()
    shoot(tab, "done", full_page=True)


def test_the_dialog_asks_what_becomes_of_files_that_were_changed_on_the_server(
    shop: Shop, open_page: Any, shoot: Any
) -> None:
    shop.publish("1.1.0")
    (shop.app / "restart.sh").write_text((shop.app / "restart.sh").read_text() + "# mended at night\n")
    tab = open_page(shop)
    tab.get_by_role("button", name="Check for updates").click()
    tab.get_by_text("What would change").click()
    what = tab.locator(".what .plan-place")
    what.get_by_text("The button below asks you what becomes of them.").wait_for()
    assert what.get_by_role("radio").count() == 0

    button = tab.get_by_role("button", name="Upgrade to v1.1.0", exact=True)
    button.click()
    dialog = tab.get_by_role("dialog")
    choice = dialog.get_by_role("group", name="Files were changed on this server")
    choice.wait_for()
    assert "1 tracked file changed locally: restart.sh." in choice.inner_text()
    assert "--" not in choice.inner_text(), "no words of the command line"
    merge, discard = choice.get_by_label("Keep my changes"), choice.get_by_label("Drop my changes")
    assert [merge.is_checked(), discard.is_checked()] == [False, False]
    go = dialog.get_by_role("button", name="Upgrade to v1.1.0")
    assert go.is_disabled(), "nothing is decided for anybody"
    shoot(tab, "problem")
    merge.focus()
    tab.keyboard.press("Space")
    dialog.get_by_text("What happens").wait_for()
    dialog.get_by_role("status").get_by_text("Nothing blocks it now.").wait_for(state="attached")
    assert merge.is_checked()
    assert go.is_enabled()
    assert tab.evaluate("document.activeElement.id") == "local-merge", "the keyboard stays where it was"
    tab.keyboard.press("ArrowDown")
    dialog.locator("#local-discard:checked").wait_for()
    tab.keyboard.press("ArrowUp")
    dialog.locator("#local-merge:checked").wait_for()
    shoot(tab, "local-changes")
    dialog.locator("[data-go]:enabled").click()
    tab.get_by_role("heading", name="v1.1.0 is live").wait_for()
    assert (shop.app / "restart.sh").read_text().endswith("# mended at night\n")


def test_where_changes_can_t_be_merged_the_dialog_says_so_and_they_can_be_dropped(
    shop: Shop, open_page: Any, shoot: Any
) -> None:
    shop.publish("1.1.0")
    code = (shop.app / "app.py").read_text()
    (shop.app / "app.py").write_text(code.replace('"1.0.0"', '"1.0.0"  # mine'))
    tab = open_page(shop, locale="zh-CN")
    tab.get_by_role("button", name="检查更新").click()
    tab.get_by_role("button", name="升级到 v1.1.0", exact=True).click()
    dialog = tab.get_by_role("dialog")
    choice = dialog.get_by_role("group", name="此服务器上有文件被改动过")
    choice.get_by_label("保留我的改动：合并到新版本中").check()
    choice.get_by_text("本地改动与新版本的改动冲突：app.py。").wait_for()
    choice.get_by_text("英文原文").click()
    assert choice.get_by_text("Local changes conflict with the release's in app.py.").is_visible()
    merging = shop.app / ".git" / "MERGE_HEAD"
    merging.write_text("0" * 40 + "\n")
    choice.get_by_label("放弃我的改动").check()
    dialog.get_by_text("请完成它，或中止它：git merge --abort").wait_for()
    shoot(tab, "problem-chinese")
    merging.unlink()
    choice.get_by_label("保留我的改动：合并到新版本中").check()
    choice.get_by_text("本地改动与新版本的改动冲突：app.py。").wait_for()
    go = dialog.get_by_role("button", name="升级到 v1.1.0")
    assert go.is_disabled()
    choice.get_by_label("放弃我的改动").check()
    dialog.get_by_text("将会发生").wait_for()
    go.click()
    tab.get_by_role("heading", name="v1.1.0 已上线").wait_for()
    assert shop.version() == "1.1.0"
    tab.get_by_role("button", name="撤销：回到 v1.0.0").click()
    dialog.get_by_text("将会发生").wait_for()
    dialog.get_by_role("button", name="恢复 v1.0.0").click()
    tab.get_by_role("heading", name="已恢复 v1.0.0").wait_for()
    assert "# mine" in (shop.app / "app.py").read_text(), "the backup had them"


def test_a_reload_a_second_tab_and_a_lost_line_come_back_to_the_running_deployment(
    shop: Shop, open_page: Any, shoot: Any
) -> None:
    shop.publish("1.1.0", migrate="until [ -e run/enough ]; do sleep 0.1; done")
    tab = open_page(shop)
    tab.get_by_role("button", name="Check for updates").click()
    other = open_page(shop)
    upgrade(tab, "v1.1.0")
    tab.get_by_role("heading", name="Upgrading to v1.1.0").wait_for()
    tab.reload()
    assert tab.get_by_role("heading", name="Upgrading to v1.1.0").is_visible(), "known before any script ran"
    other.get_by_role("heading", name="Upgrading to v1.1.0").wait_for()  # nobody pressed anything there
    other.context.set_offline(True)
    other.get_by_text("The connection is gone. The deployment goes on").first.wait_for()
    shoot(other, "lost")
    other.context.set_offline(False)
    other.get_by_text("It goes on if you close this page").first.wait_for()
    (shop.app / "run/enough").touch()
    for each in (tab, other):
        each.get_by_role("heading", name="v1.1.0 is live").wait_for()
    assert shop.version() == "1.1.0"


def test_a_release_that_fails_is_taken_back_and_the_page_says_why(shop: Shop, open_page: Any, shoot: Any) -> None:
    shop.publish("1.2.0", status=500)
    tab = open_page(shop)
    tab.get_by_role("button", name="Check for updates").click()
    upgrade(tab, "v1.2.0")
    heading = tab.get_by_role("heading", name="v1.2.0 failed; v1.0.0 runs again")
    heading.wait_for()
    ending = tab.locator("#ending").inner_text()
    assert "It failed at “Check its health” and was rolled back automatically. Nothing was lost." in ending
    assert "/health: 500" in ending
    assert shop.version() == "1.0.0"
    update = tab.locator(".update")
    assert update.get_by_role("heading", name="The newest release, v1.2.0, failed here").is_visible()
    assert re.search(r"v1.2.0 was tried here on 20\d\d-\d\d-\d\d \d\d:\d\d and rolled back", update.inner_text())
    assert "/health: 500" in update.locator(".failed-before").inner_text()
    shoot(tab, "failed")
    update.get_by_role("link", name="Steps and log").click()
    tab.locator("#deployment-1[open] .log pre").wait_for()
    assert update.get_by_role("button", name="Upgrade to").count() == 0, "it is not offered as if it were new"
    update.get_by_role("button", name="Try v1.2.0 again").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_text("What happens").wait_for()
    assert "/health: 500" in dialog.locator(".failed-before").inner_text()
    dialog.get_by_role("button", name="Try v1.2.0 again").click()
    tab.get_by_role("heading", name="Upgrading to v1.2.0").wait_for()
    tab.locator("#deployment-2").wait_for()
    heading.wait_for()


def test_restore_label_delete_and_hold(shop: Shop, open_page: Any, shoot: Any) -> None:
    shop.publish("1.1.0")
    shop.gitdeploy("upgrade", "v1.1.0")
    tab = open_page(shop)
    backups = tab.locator("[data-part=backups] li")

    backups.get_by_role("button", name="Label").click()
    tab.get_by_label("Label", exact=True).fill("before the audit")
    tab.keyboard.press("Enter")
    backups.get_by_text("before the audit").wait_for()

    tab.get_by_role("button", name="Pause deployments").click()
    tab.get_by_label("Why").fill("month-end closing")
    tab.get_by_role("dialog").get_by_role("button", name="Pause").click()
    tab.get_by_text("month-end closing").wait_for()
    backups.get_by_role("button", name="Restore").click()
    dialog = tab.get_by_role("dialog")
    dialog.get_by_text("What happens").wait_for()
    dialog.get_by_role("button", name="Bring back v1.0.0").click()
    assert "month-end closing" in dialog.get_by_role("alert").inner_text()
    shoot(tab, "refused")
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Resume").click()
    tab.get_by_role("heading", name="Deployments are paused").wait_for(state="detached")

    tab.get_by_role("button", name="Undo: back to v1.0.0").click()
    dialog.get_by_text("What happens").wait_for()
    shoot(tab, "restore")
    dialog.get_by_role("button", name="Bring back v1.0.0").click()
    tab.get_by_role("heading", name="v1.0.0 is back").wait_for()
    assert shop.version() == "1.0.0"

    backups.nth(1).wait_for()  # the list is asked for anew once it has ended
    assert backups.count() == 2
    backups.first.get_by_role("button", name="Delete").click()
    assert "is deleted for good" in dialog.inner_text()
    dialog.get_by_role("button", name="Delete").click()
    backups.nth(1).wait_for(state="detached")
    assert "before the audit" in backups.inner_text()
    tab.get_by_role("button", name="Back up now").click()
    backups.nth(1).wait_for()


def test_with_the_keyboard_alone(shop: Shop, open_page: Any) -> None:
    shop.publish("1.1.0")
    tab = open_page(shop, log_in=False)
    tab.goto("/upgrade/")
    tab.keyboard.type(shop.token)  # the field has the focus
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/upgrade/")

    def focused() -> str:
        return str(tab.evaluate("(document.activeElement.ariaLabel || document.activeElement.textContent).trim()"))

    def go_to(name: str) -> None:
        for _ in range(40):
            if focused() == name:
                return
            tab.keyboard.press("Tab")
            shown = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            assert shown, f"nobody sees that {focused()!r} has the focus"
        raise AssertionError(f"no way to {name!r}")

    tab.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    go_to("Check for updates")
    tab.keyboard.press("Enter")
    tab.get_by_role("heading", name="v1.1.0 is available").wait_for()
    tab.locator(":focus", has_text="Check for updates").wait_for()
    go_to("Upgrade to v1.1.0")
    tab.keyboard.press("Enter")
    assert focused() == "Cancel", "a dialog begins with the way out"
    tab.keyboard.press("Escape")
    assert focused() == "Upgrade to v1.1.0", "and gives the focus back"
    tab.keyboard.press("Enter")
    tab.get_by_role("dialog").get_by_text("What happens").wait_for()
    go_to("Upgrade to v1.1.0")
    tab.keyboard.press("Enter")
    tab.locator(":focus", has_text="Upgrading to v1.1.0").wait_for()
    tab.get_by_role("heading", name="v1.1.0 is live").wait_for()
    tab.locator(":focus", has_text="v1.1.0 is live").wait_for()


def test_a_deployment_that_was_killed_is_said_and_put_right_by_a_button(shop: Shop, open_page: Any, shoot: Any) -> None:
    shop.publish("1.1.0", migrate="kill -9 $PPID; sleep 60")  # the hook ends gitdeploy itself
    tab = open_page(shop)
    tab.get_by_role("button", name="Check for updates").click()
    upgrade(tab, "v1.1.0")
    tab.get_by_role("heading", name="A deployment was cut off: v1.0.0 → v1.1.0").wait_for()
    shoot(tab, "cut-off")
    tab.get_by_role("button", name="Recover now").click()
    tab.get_by_role("heading", name="v1.1.0 was cut off; v1.0.0 runs again").wait_for()
    tab.get_by_role("heading", name="A deployment was cut off").wait_for(state="detached")
    assert shop.version() == "1.0.0"
