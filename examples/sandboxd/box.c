/* box.c: boxes and their lives.
 *
 * SPDX-License-Identifier: MIT
 *
 * provisioning -> ready -> stopped -> provisioning …; failed when a fault says
 * so. A box is a directory; its processes are the commands' business.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#endif

#include "control.h"

const char box_default_snapshot[] = "00000000-0000-4000-8000-000000000001";

static const char *const box_status_names[] = {"provisioning", "ready",
                                               "failed", "stopped"};

/* The API's word for a status. */
const char *box_status_name(enum box_status status)
{
    return box_status_names[status];
}

/* The box is idle for too long. */
static void box_idled(struct timer *timer)
{
    box_stop(timer->owner);
}

/* The box has been stopped for too long, or has lived for too long. */
static void box_expired(struct timer *timer)
{
    box_delete(timer->owner);
}

static void box_provisioned(struct timer *timer);

/* A box that is in no list yet, nothing about it set. */
struct box *box_new(struct sandboxd *d)
{
    struct box *box = take(sizeof *box);

    box->d = d;
    make_uuid(box->id);
    box->dir = take_format("%s/%s", d->data, box->id);
    box->idle_ttl_s = UNSET;
    box->delete_after_stop_s = UNSET;
    box->ttl_s = UNSET;
    box->cpu_millicores = UNSET;
    box->mem_bytes = UNSET;
    box->fs_capacity_bytes = UNSET;
    box->snapshot_id = take_copy(box_default_snapshot);
    box->provisioned.owner = box->idle.owner = box->removal.owner = box;
    box->provisioned.fire = box_provisioned;
    box->idle.fire = box_idled;
    box->removal.fire = box_expired;
    return box;
}

/* Frees what a configuration holds. */
void run_config_free(struct run_config *run)
{
    free(run->user);
    free(run->work_dir);
    map_free(&run->env);
    memset(run, 0, sizeof *run);
}

/* -------------------------------------------------------------- volumes -- */

#ifdef __linux__

/* Moves this process into a mount namespace of its own, once, so that what is
 * mounted below boxes is seen by nobody else, and goes with it. */
static bool box_own_mounts(struct sandboxd *d)
{
    if (!d->own_mounts && geteuid() == 0 && unshare(CLONE_NEWNS) == 0)
        d->own_mounts =
            mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
    return d->own_mounts;
}

/* Mounts a volume's directory at a path of a box. */
static bool box_mount_one(const struct box *box, const char *path,
                          const char *volume)
{
    char *inside = take_format("%s/.", path), target[64];
    struct place place;
    bool fine = path_find(box, inside, true, &place);

    if (fine) {
        snprintf(target, sizeof target, "/proc/self/fd/%d", place.dir);
        fine = !place.host &&
               mount(volume, target, NULL, MS_BIND, NULL) == 0;
        place_close(&place);
    }
    free(inside);
    return fine;
}

/* Mounts a box's volumes, where commands have a view of their own; elsewhere
 * they are not to be seen. */
static bool box_mount(struct box *box)
{
    size_t i;

    if (!box->d->view || box->mounts.count == 0 || !box_own_mounts(box->d)) {
        map_free(&box->mounts);
        return true;
    }
    for (i = 0; i < box->mounts.count; i++) {
        const struct map_pair *pair = &box->mounts.pairs[i];

        if (!box_mount_one(box, pair->name, pair->value))
            return false;
    }
    return true;
}

/* Where a line of mountinfo (proc(5)) says that something is mounted, if that
 * is below a directory, its octal escapes undone; else NULL. */
static char *box_mounted(char *line, const char *dir)
{
    char *at = line, *to;
    size_t i, len = strlen(dir);

    for (i = 0; i < 4 && at != NULL; i++)
        at = strchr(at, ' ') == NULL ? NULL : strchr(at, ' ') + 1;
    if (at == NULL)
        return NULL;
    at[strcspn(at, " \n")] = '\0';
    line = to = at;
    while (*at != '\0') {
        if (*at == '\\' && strspn(at + 1, "01234567") >= 3) {
            *to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 |
                           (at[3] - '0'));
            at += 4;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
    return strncmp(line, dir, len) == 0 && line[len] == '/' ? line : NULL;
}

/* Unmounts what is mounted below a box, wherever its commands have moved it;
 * whether nothing is any more. */
static bool box_unmount(struct box *box)
{
    FILE *file = NULL;
    char *line = take(16384), *path;
    bool fine = true;

    if (box->mounts.count > 0)
        file = fopen("/proc/self/mountinfo", "r");
    if (box->mounts.count > 0 && file == NULL)
        fine = false;
    while (file != NULL && fgets(line, 16384, file) != NULL) {
        path = box_mounted(line, box->dir);
        if (path != NULL &&
            umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) != 0)
            fine = false;
    }
    if (file != NULL)
        fclose(file);
    free(line);
    if (fine)
        map_free(&box->mounts);
    return fine;
}

#else

static bool box_mount(struct box *box)
{
    map_free(&box->mounts);
    return true;
}

static bool box_unmount(struct box *box)
{
    (void)box;
    return true;
}

#endif

/* Frees a box that is in no list, or not any more. */
void box_free(struct box *box)
{
    struct command *command;

    loop_cancel(&box->d->loop, &box->provisioned);
    loop_cancel(&box->d->loop, &box->idle);
    loop_cancel(&box->d->loop, &box->removal);
    for (command = box->d->commands; command != NULL; command = command->next)
        if (command->box == box)
            command->box = NULL;
    job_cancel(box->filling);
    box_unmount(box);
    grants_free(box);
    map_free(&box->rule_env);
    free(box->snapshot_id);
    free(box->source);
    free(box->template_name);
    free(box->name);
    free(box->dir);
    free(box->status_message);
    map_free(&box->labels);
    map_free(&box->env);
    run_config_free(&box->run);
    free(box->mount_config);
    free(box->proxy_config);
    free(box->access_delegation);
    free(box);
}

/* The box of a name. */
struct box *box_find_name(struct sandboxd *d, const char *name)
{
    struct box *box = d->boxes;

    while (box != NULL && strcmp(box->name, name) != 0)
        box = box->next;
    return box;
}

/* The box of an id or a name. */
struct box *box_find(struct sandboxd *d, const char *name_or_id)
{
    struct box *box = d->boxes;

    while (box != NULL && strcmp(box->id, name_or_id) != 0)
        box = box->next;
    return box != NULL ? box : box_find_name(d, name_or_id);
}

/* ---------------------------------------------------------------- waits -- */

/* Leaves the list. */
void box_wait_end(struct box_wait *wait)
{
    struct box_wait **link;

    if (wait->box == NULL)
        return;
    link = &wait->box->d->waits;
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    loop_cancel(&wait->box->d->loop, &wait->timer);
    wait->box = NULL;
}

/* The wait's time is up. */
static void box_wait_late(struct timer *timer)
{
    struct box_wait *wait = timer->owner;
    struct box *box = wait->box;

    box_wait_end(wait);
    wait->done(wait, box);
}

/* Starts to wait until the box is not provisioning any more. */
void box_wait_start(struct box_wait *wait, struct box *box,
                    uint32_t timeout_ms)
{
    wait->box = box;
    wait->next = box->d->waits;
    box->d->waits = wait;
    wait->timer.owner = wait;
    wait->timer.fire = box_wait_late;
    loop_at(&box->d->loop, &wait->timer, now_ms() + timeout_ms);
}

/* Tells those who wait for a box; each may start and end waits. */
static void box_tell(struct box *box, bool gone)
{
    struct box_wait *wait = box->d->waits;

    while (wait != NULL) {
        if (wait->box == box) {
            box_wait_end(wait);
            wait->done(wait, gone ? NULL : box);
            wait = box->d->waits;
        } else {
            wait = wait->next;
        }
    }
}

/* ---------------------------------------------------------------- lives -- */

/* Sets the timers that its state asks for. */
void box_timers(struct box *box)
{
    struct loop *loop = &box->d->loop;
    uint64_t second = box->d->settings.second_ms, at = UINT64_MAX;

    loop_cancel(loop, &box->idle);
    loop_cancel(loop, &box->removal);
    if (box->status == BOX_READY && box->commands == 0 &&
        box->bridges == 0 && box->idle_ttl_s > 0)
        loop_at(loop, &box->idle,
                box->used_at + (uint64_t)box->idle_ttl_s * second);
    if (box->status == BOX_STOPPED && box->delete_after_stop_s > 0)
        at = box->stopped_at + (uint64_t)box->delete_after_stop_s * second;
    if (box->ttl_s > 0 &&
        box->created_at + (uint64_t)box->ttl_s * second < at)
        at = box->created_at + (uint64_t)box->ttl_s * second;
    if (at != UINT64_MAX)
        loop_at(loop, &box->removal, at);
}

/* Takes note of a use. */
void box_touch(struct box *box)
{
    box->used_at = now_ms();
    box_timers(box);
}

/* Enters a status. */
static void box_become(struct box *box, enum box_status status,
                       const char *message)
{
    free(box->status_message);
    box->status_message = take_copy(message);
    box->status = status;
    box->updated_us = wall_us();
    if (status == BOX_READY)
        box->was_ready = true;
    box->stopped_us = status == BOX_STOPPED ? box->updated_us : 0;
    box->stopped_at = now_ms();
    box_touch(box);
    if (status != BOX_PROVISIONING)
        box_tell(box, false);
}

/* Provisioning has come to its end, in a fault's way if there is one. */
static void box_provisioned(struct timer *timer)
{
    struct box *box = timer->owner;
    struct fault *fault;

    if (box->filling != NULL || box->status != BOX_PROVISIONING)
        return;
    fault = faults_take(box->d, "", box->name, true);
    if (fault == NULL)
        box_become(box, BOX_READY, NULL);
    else if (strcmp(fault->provision, "fail") == 0)
        box_become(box, BOX_FAILED, fault->message);
    fault_free(fault);
}

/* Starts a box: it is provisioning for a moment. */
void box_start(struct box *box)
{
    box_become(box, BOX_PROVISIONING, NULL);
    loop_at(&box->d->loop, &box->provisioned,
            now_ms() + (box->at_once ? 0 : box->d->settings.provision_ms));
    box->at_once = false;
}

/* Stops a box: its processes and tunnels end, its files stay. */
void box_stop(struct box *box)
{
    tunnels_end(box);
    loop_cancel(&box->d->loop, &box->provisioned);
    commands_kill(box);
    box_become(box, BOX_STOPPED, NULL);
}

/* Deletes a box with all that it has. */
void box_delete(struct box *box)
{
    struct box **link = &box->d->boxes;

    tunnels_end(box);
    commands_kill(box);
    while (*link != box)
        link = &(*link)->next;
    *link = box->next;
    box->d->box_count--;
    box_tell(box, true);
    job_cancel(box->filling);
    box->filling = NULL;
    if (box_unmount(box))
        process_remove_tree(box->d, box->dir);
    box_free(box);
}

/* Gives the box's home to the user that its commands run as. */
static void box_give_home(const struct box *box)
{
    struct user_ids ids;
    char *home;

    if (box->run.user == NULL || !user_find(box->run.user, &ids))
        return;
    home = take_format("%s/root/home/user", box->dir);
    if (chown(home, ids.uid, ids.gid) != 0)
        fprintf(stderr, "sandboxd: %s: the home stays root's\n", box->id);
    free(home);
}

/* Makes up a name that is free. */
static void box_make_name(struct box *box)
{
    char digits[9];

    do {
        free(box->name);
        random_hex(digits, 8);
        box->name = take_format("sandbox-%s", digits);
    } while (box_find_name(box->d, box->name) != NULL);
}

/* What a new box needs once its files are there; NULL, or what went wrong. */
static const char *box_furnish(struct box *box)
{
    if (box->run.work_dir != NULL && !path_make_dir(box, box->run.work_dir))
        return "its work_dir cannot be made";
    if (!standins_place(box))
        return "its programs cannot be placed";
    box_give_home(box);
    return box_mount(box) ? NULL : "its volumes cannot be mounted";
}

/* The snapshot's files are in the box, or cannot be. */
static void box_filled(struct job *job, bool fine)
{
    struct box *box = job->owner;
    const char *wrong = fine ? box_furnish(box)
                             : "the snapshot's files cannot be copied";

    box->filling = NULL;
    if (wrong != NULL)
        box_become(box, BOX_FAILED, wrong);
    else if (box->status == BOX_PROVISIONING && !box->provisioned.armed)
        box_provisioned(&box->provisioned);
}

/* Gives a new box what it is made of. */
static const char *box_fill(struct box *box)
{
    const char *argv[] = {"sh", "-c",
                          "cp -a --reflink=auto \"$1/root/.\" \"$2/root/\" "
                          "2>/dev/null || "
                          "cp -a \"$1/root/.\" \"$2/root/\" && echo done",
                          "sh", NULL, NULL, NULL};

    if (box->source == NULL)
        return box_furnish(box);
    argv[4] = box->source;
    argv[5] = box->dir;
    box->filling = job_start(box->d, argv, box_filled, box);
    return box->filling != NULL ? NULL : "no process for it";
}

/* Makes a box's directory, enters it into the list and starts it; or says why
 * it cannot. */
bool box_add(struct box *box, const char **why)
{
    struct sandboxd *d = box->d;

    *why = "its directory cannot be made";
    if (!view_prepare(box)) {
        process_remove_tree(d, box->dir);
        return false;
    }
    *why = box_fill(box);
    if (*why != NULL) {
        if (box_unmount(box))
            process_remove_tree(d, box->dir);
        return false;
    }
    if (box->name == NULL)
        box_make_name(box);
    box->sequence = ++d->sequence;
    box->created_us = wall_us();
    box->created_at = now_ms();
    box->next = d->boxes;
    d->boxes = box;
    d->box_count++;
    box_start(box);
    return true;
}
