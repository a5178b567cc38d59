/* snapshots.c: what boxes are made from (PROTOCOL 2.7 to 2.9, 2.12).
 *
 * SPDX-License-Identifier: MIT
 *
 * A captured snapshot is a copy of what a box has of its own, made beside the
 * loop; a new box gets a copy of the copy. No image is ever pulled: one gives
 * a snapshot of that name with nothing in it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "control.h"

#define SNAPSHOT_IMAGE 512          /* bytes of an image's name */

const char control_user[] = "5a0dbd00-0000-4000-8000-000000000001";

static const char *const snapshot_statuses[] = {"building", "ready", "failed",
                                                "deleting", NULL};
static const char *const snapshot_sorts[] = {"name", "status", "created_at",
                                             NULL};

/* Copies what a box has of its own. $1: its root; $2: the new directory; $3:
 * the names in the root that are not to be copied; $4: not empty for an image
 * that was built in place, without what it was built with; $5…: what is
 * mounted. The size in KiB comes before the last word. */
static const char snapshot_script[] =
    "set -e; from=$1 to=$2 skip=$3 image=$4; shift 4\n"
    "copy() { cp -a --reflink=auto \"$@\" 2>/dev/null || cp -a \"$@\"; }\n"
    "for path; do umount -l \"$from$path\"; done\n"
    "mkdir \"$to\" \"$to/root\"; cd \"$from\"\n"
    "for name in * .[!.]* ..?*; do\n"
    "  [ -e \"$name\" ] || [ -L \"$name\" ] || continue\n"
    "  case $skip in *\"/$name/\"*) continue;; esac\n"
    "  copy -- \"$name\" \"$to/root/\"\n"
    "done\n"
    "cd \"$to/root\"\n"
    "if [ -n \"$image\" ] && [ ! -L var ] && [ ! -L var/lib ]; then\n"
    "  rm -rf var/lib/langsmith-build var/lib/docker\n"
    "fi\n"
    "du -sk \"$to/root\" | cut -f1; echo done\n";

/* -------------------------------------------------------------- replies -- */

/* Puts a string, or null. */
static void snapshot_put(struct lssb_json_writer *json, const char *name,
                         const char *text)
{
    if (text != NULL)
        lssb_json_string(json, name, text);
    else
        lssb_json_null(json, name);
}

/* Puts what came of the build. */
static void snapshot_write_state(struct lssb_json_writer *json,
                                 const struct snapshot *snapshot)
{
    bool ready = snapshot->status == SNAPSHOT_READY;

    lssb_json_string(json, "status", snapshot_statuses[snapshot->status]);
    snapshot_put(json, "status_message", snapshot->status_message);
    snapshot_put(json, "image_digest", ready ? snapshot->image_digest : NULL);
    if (ready)
        lssb_json_number(json, "fs_used_bytes", snapshot->fs_used_bytes);
    else
        lssb_json_null(json, "fs_used_bytes");
    if (ready && snapshot->memory_bytes > 0)
        lssb_json_number(json, "memory_snapshot_size_bytes",
                         snapshot->memory_bytes);
    if (ready && (snapshot->run.user != NULL ||
                  snapshot->run.work_dir != NULL ||
                  snapshot->run.env.count > 0))
        run_config_write(json, &snapshot->run, "/");
}

/* A snapshot object. */
static void snapshot_write(struct lssb_json_writer *json, const void *ctx)
{
    const struct snapshot *snapshot = ctx;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "id", snapshot->id);
    lssb_json_string(json, "name", snapshot->name);
    snapshot_write_state(json, snapshot);
    lssb_json_number(json, "fs_capacity_bytes", snapshot->fs_capacity_bytes);
    snapshot_put(json, "docker_image", snapshot->docker_image);
    snapshot_put(json, "source_sandbox_id", snapshot->source_id);
    snapshot_put(json, "registry_id", snapshot->registry_id);
    if (snapshot->checkpoint != NULL)
        lssb_json_string(json, "checkpoint", snapshot->checkpoint);
    json_map(json, "labels", &snapshot->labels);
    lssb_json_array(json, "tags");
    for (i = 0; i < snapshot->tags.count; i++)
        lssb_json_string(json, NULL, snapshot->tags.pairs[i].name);
    lssb_json_close(json);
    lssb_json_string(json, "created_by", control_user);
    json_time(json, "created_at", snapshot->created_us);
    json_time(json, "updated_at", snapshot->updated_us);
    lssb_json_close(json);
}

/* -------------------------------------------------------------- finding -- */

/* The snapshot of a name that has a tag. */
static struct snapshot *snapshot_tagged(const struct sandboxd *d,
                                        const char *name, const char *tag)
{
    struct snapshot *snapshot = d->snapshots;

    while (snapshot != NULL && (strcmp(snapshot->name, name) != 0 ||
                                map_get(&snapshot->tags, tag) == NULL))
        snapshot = snapshot->next;
    return snapshot;
}

/* The snapshot of an id, "name" (its latest) or "name:tag". */
struct snapshot *snapshot_find(struct sandboxd *d, const char *name)
{
    struct snapshot *snapshot = d->snapshots;
    const char *colon = strrchr(name, ':');
    char *bare;

    while (snapshot != NULL && strcmp(snapshot->id, name) != 0)
        snapshot = snapshot->next;
    if (snapshot == NULL)
        snapshot = snapshot_tagged(d, name, "latest");
    if (snapshot != NULL || colon == NULL)
        return snapshot;
    bare = take_copy_n(name, (size_t)(colon - name));
    snapshot = snapshot_tagged(d, bare, colon + 1);
    free(bare);
    return snapshot;
}

/* Gives a snapshot its tag, and takes it from the one that had it. */
static void snapshot_take_tag(struct snapshot *snapshot)
{
    struct snapshot *other =
        snapshot_tagged(snapshot->d, snapshot->name, snapshot->tag);

    if (other != NULL)
        map_remove(&other->tags, snapshot->tag);
    map_set(&snapshot->tags, snapshot->tag, "");
}

/* ------------------------------------------------------------- building -- */

/* Enters a final status. */
static void snapshot_become(struct snapshot *snapshot,
                            enum snapshot_status status, const char *message)
{
    snapshot->status = status;
    snapshot->status_message = take_copy(message);
    snapshot->updated_us = wall_us();
    if (status == SNAPSHOT_READY)
        snapshot_take_tag(snapshot);
}

/* The snapshot's time to be built is over, and nothing is copied any more. */
static void snapshot_build(struct snapshot *snapshot)
{
    const char *image = snapshot->docker_image;

    if (!snapshot->late || snapshot->job != NULL ||
        snapshot->status != SNAPSHOT_BUILDING)
        return;
    if (snapshot->source_id == NULL && strstr(image, "fail") != NULL)
        snapshot_become(snapshot, SNAPSHOT_FAILED, "Docker pull failed");
    else
        snapshot_become(snapshot, SNAPSHOT_READY, NULL);
}

/* The time to build it has passed. */
static void snapshot_built(struct timer *timer)
{
    struct snapshot *snapshot = timer->owner;

    snapshot->late = true;
    snapshot_build(snapshot);
}

/* The files are copied, or cannot be. */
static void snapshot_copied(struct job *job, bool fine)
{
    struct snapshot *snapshot = job->owner;

    snapshot->job = NULL;
    if (!fine) {
        snapshot_become(snapshot, SNAPSHOT_FAILED,
                        "the files of the sandbox cannot be copied");
        return;
    }
    snapshot->fs_used_bytes = strtoll(job->said.at, NULL, 10) * 1024;
    snapshot_build(snapshot);
}

/* A snapshot that is in no list yet. */
static struct snapshot *snapshot_new(struct sandboxd *d)
{
    struct snapshot *snapshot = take(sizeof *snapshot);

    snapshot->d = d;
    make_uuid(snapshot->id);
    snapshot->fs_capacity_bytes = UNSET;
    snapshot->built.owner = snapshot;
    snapshot->built.fire = snapshot_built;
    return snapshot;
}

/* Frees it, with its files unless somebody has taken them. */
static void snapshot_free(struct snapshot *snapshot)
{
    loop_cancel(&snapshot->d->loop, &snapshot->built);
    job_cancel(snapshot->job);
    if (snapshot->dir != NULL)
        process_remove_tree(snapshot->d, snapshot->dir);
    free(snapshot->name);
    free(snapshot->tag);
    map_free(&snapshot->tags);
    free(snapshot->status_message);
    free(snapshot->docker_image);
    free(snapshot->image_digest);
    free(snapshot->source_id);
    free(snapshot->registry_id);
    free(snapshot->checkpoint);
    map_free(&snapshot->labels);
    run_config_free(&snapshot->run);
    free(snapshot->dir);
    free(snapshot);
}

/* Enters it into the list, and lets the time to build it run. */
static void snapshot_add(struct snapshot *snapshot)
{
    struct sandboxd *d = snapshot->d;

    if (snapshot->fs_capacity_bytes == UNSET)
        snapshot->fs_capacity_bytes = 4 * CONTROL_GIB;
    if (snapshot->tag == NULL)
        snapshot->tag = take_copy("latest");
    if (snapshot_tagged(d, snapshot->name, snapshot->tag) == NULL)
        snapshot_take_tag(snapshot);
    snapshot->sequence = ++d->sequence;
    snapshot->created_us = snapshot->updated_us = wall_us();
    snapshot->next = d->snapshots;
    d->snapshots = snapshot;
    d->snapshot_count++;
    loop_at(&d->loop, &snapshot->built, now_ms() + d->settings.provision_ms);
}

/* The snapshot that boxes are made from when none is named. */
void snapshots_start(struct sandboxd *d)
{
    struct snapshot *snapshot = snapshot_new(d);

    memcpy(snapshot->id, box_default_snapshot, sizeof snapshot->id);
    snapshot->name = take_copy("default");
    snapshot_add(snapshot);
    loop_cancel(&d->loop, &snapshot->built);
    snapshot->status = SNAPSHOT_READY;
}

/* ------------------------------------------------------------- creation -- */

/* The tag that it is given. */
static bool snapshot_read_tag(const struct object *body,
                              struct snapshot *snapshot)
{
    if (!object_text(body, "tag", &snapshot->tag))
        return false;
    if (snapshot->tag == NULL)
        return true;
    if (strlen(snapshot->tag) > 128 ||
        !consists_of(snapshot->tag,
                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789._-"))
        return object_problem(body, "tag", "letters, digits, '.', '_', '-', "
                                           "at most 128 of them");
    return true;
}

/* What both ways to make a snapshot have in common. */
static bool snapshot_common(const struct object *body,
                            struct snapshot *snapshot)
{
    struct sandboxd *d = snapshot->d;

    if (!object_name(body, true, &snapshot->name) ||
        !object_text(body, "docker_image", &snapshot->docker_image) ||
        !object_integer(body, "fs_capacity_bytes", 1, INT64_MAX,
                        &snapshot->fs_capacity_bytes) ||
        !object_labels(body, "labels", &snapshot->labels) ||
        !snapshot_read_tag(body, snapshot))
        return false;
    if (snapshot->docker_image != NULL &&
        strlen(snapshot->docker_image) > SNAPSHOT_IMAGE)
        return object_problem(body, "docker_image", "is too long");
    if (d->snapshot_count < d->settings.max_snapshots)
        return true;
    reply_error(body->exchange, 429, "QuotaExceeded",
                "Storage for %llu snapshots is used up",
                (unsigned long long)d->snapshot_count);
    return false;
}

/* The registry to pull from: a stored one, or the older way, which is read
 * and forgotten. */
static bool snapshot_registry(const struct object *body,
                              struct snapshot *snapshot)
{
    static const char *const names[] = {"registry_url", "registry_username",
                                        "registry_password"};
    size_t i;

    for (i = 0; i < 3; i++) {
        char *text = NULL;
        bool fine = object_text(body, names[i], &text);

        if (text != NULL)
            lssb_wipe(text, strlen(text));
        free(text);
        if (!fine)
            return false;
    }
    if (!object_text(body, "registry_id", &snapshot->registry_id))
        return false;
    if (snapshot->registry_id == NULL ||
        registry_known(snapshot->d, snapshot->registry_id))
        return true;
    reply_error(body->exchange, 400, "InvalidRequest",
                "Registry '%s' not found", snapshot->registry_id);
    return false;
}

/* What stands for an image's digest: that of its name. */
static void snapshot_digest(struct snapshot *snapshot)
{
    char hex[65];

    sha256_hex(snapshot->docker_image, hex);
    snapshot->image_digest = take_format("sha256:%s", hex);
}

/* POST /snapshots */
static void snapshot_create(struct exchange *exchange, struct value body)
{
    struct snapshot *snapshot = snapshot_new(exchange->d);
    struct object top;

    object_top(&top, exchange, body);
    if (!snapshot_common(&top, snapshot) ||
        !spec_run_config(&top, &snapshot->run) ||
        (snapshot->docker_image == NULL &&
         !object_missing(&top, "docker_image")) ||
        !snapshot_registry(&top, snapshot)) {
        snapshot_free(snapshot);
        return;
    }
    snapshot_digest(snapshot);
    snapshot_add(snapshot);
    reply_json(exchange, 201, snapshot_write, snapshot);
}

/* -------------------------------------------------------------- capture -- */

/* The names in a box's root that are not its own, or are RAM: "/tmp/dev/…/".
 */
static char *snapshot_skipped(const struct box *box)
{
    char *root = take_format("%s/root", box->dir);
    struct bytes names = {0};
    const struct dirent *item;
    DIR *dir = opendir(root);

    bytes_add_string(&names, "/tmp/dev/proc/sys/");
    while (dir != NULL && (item = readdir(dir)) != NULL) {
        if (!box->d->view || !view_provides(item->d_name))
            continue;
        bytes_add_string(&names, item->d_name);
        bytes_add_string(&names, "/");
    }
    if (dir != NULL)
        closedir(dir);
    free(root);
    return names.at;
}

/* Starts to copy a box's files. */
static bool snapshot_copy(struct snapshot *snapshot, const struct box *box)
{
    char *root = take_format("%s/root", box->dir);
    char *skip = snapshot_skipped(box);
    const char *argv[60] = {"unshare", "-m", "sh", "-c", snapshot_script,
                            "sh", NULL};
    size_t i, n = 6;

    snapshot->dir =
        take_format("%s/snapshot-%s", snapshot->d->data, snapshot->id);
    argv[n++] = root;
    argv[n++] = snapshot->dir;
    argv[n++] = skip;
    argv[n++] = snapshot->docker_image != NULL ? "1" : "";
    for (i = 0; i < box->mounts.count && n < 59; i++)
        argv[n++] = box->mounts.pairs[i].name;
    argv[n] = NULL;
    snapshot->job = job_start(snapshot->d,
                              box->mounts.count > 0 ? argv : argv + 2,
                              snapshot_copied, snapshot);
    free(root);
    free(skip);
    return snapshot->job != NULL;
}

/* Reads a line of an image's configuration, "USER x", "WORKDIR /x", "ENV A=b",
 * over a run configuration. */
static void snapshot_config_line(struct run_config *run, char *line)
{
    char *equals;

    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "USER ", 5) == 0 && user_possible(line + 5)) {
        free(run->user);
        run->user = take_copy(line + 5);
    } else if (strncmp(line, "WORKDIR /", 9) == 0) {
        free(run->work_dir);
        run->work_dir = take_copy(line + 8);
    } else if (strncmp(line, "ENV ", 4) == 0 &&
               (equals = strchr(line, '=')) != NULL && equals > line + 4) {
        *equals = '\0';
        map_set(&run->env, line + 4, equals + 1);
    }
}

/* The configuration of an image in the box's Docker daemon; false: it has none
 * of that name. A line is UTF-8, or does not count. */
static bool snapshot_image(const struct box *box, const char *image,
                           struct run_config *run)
{
    char hex[65], line[8192];
    char *path;
    struct place place;
    FILE *file = NULL;
    bool found;
    int fd = -1;

    sha256_hex(image, hex);
    path = take_format("/var/lib/docker/sandboxd/%s", hex);
    if (path_find(box, path, false, &place)) {
        fd = openat(place.dir, place.name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        file = fd < 0 ? NULL : fdopen(fd, "r");
        place_close(&place);
    }
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (lssb_utf8_valid(line, strlen(line)) == strlen(line))
            snapshot_config_line(run, line);
    }
    found = file != NULL;
    if (found)
        fclose(file);
    free(path);
    return found;
}

/* What a captured snapshot's boxes run with: what this box ran with, or the
 * image, and what was asked for on top. */
static bool snapshot_capture_run(const struct object *body,
                                 struct snapshot *snapshot,
                                 const struct box *box)
{
    struct run_config asked = {0};
    bool fine = spec_run_config(body, &asked);

    if (fine && snapshot->docker_image == NULL)
        run_config_merge(&snapshot->run, &box->run);
    else if (fine && !snapshot_image(box, snapshot->docker_image,
                                     &snapshot->run))
        snapshot_become(snapshot, SNAPSHOT_FAILED,
                        "the Docker daemon of the sandbox has no such image");
    if (fine)
        run_config_merge(&snapshot->run, &asked);
    run_config_free(&asked);
    return fine;
}

/* Reads what a capture asks for. */
static bool snapshot_capture_read(const struct object *body,
                                  struct snapshot *snapshot,
                                  const struct box *box)
{
    bool memory = false;

    if (!snapshot_common(body, snapshot) ||
        !object_text(body, "checkpoint", &snapshot->checkpoint) ||
        !object_bool(body, "include_memory", &memory) ||
        !snapshot_capture_run(body, snapshot, box))
        return false;
    if (snapshot->fs_capacity_bytes == UNSET)
        snapshot->fs_capacity_bytes = box->fs_capacity_bytes;
    snapshot->memory_bytes = memory ? box->mem_bytes : 0;
    snapshot->source_id = take_copy(box->id);
    return true;
}

/* POST /boxes/{name}/snapshot */
void snapshot_capture(struct exchange *exchange, struct value body)
{
    char *name = exchange->state;
    struct box *box = box_find(exchange->d, name);
    struct snapshot *snapshot = snapshot_new(exchange->d);
    struct object top;

    exchange->state = NULL;
    object_top(&top, exchange, body);
    if (box == NULL) {
        boxes_no_box(exchange, name);
        snapshot_free(snapshot);
    } else if (box->status != BOX_READY && box->status != BOX_STOPPED) {
        reply_error(exchange, 409, "Conflict", "the sandbox is %s",
                    box_status_name(box->status));
        snapshot_free(snapshot);
    } else if (!snapshot_capture_read(&top, snapshot, box)) {
        snapshot_free(snapshot);
    } else {
        if (snapshot->docker_image != NULL)
            snapshot_digest(snapshot);
        snapshot_add(snapshot);
        if (snapshot->status == SNAPSHOT_BUILDING &&
            !snapshot_copy(snapshot, box))
            snapshot_become(snapshot, SNAPSHOT_FAILED, "no process for it");
        box_touch(box);
        reply_json(exchange, 201, snapshot_write, snapshot);
    }
    free(name);
}

/* --------------------------------------------------------------- others -- */

/* What still needs a snapshot: taken text, "" for nothing. */
static char *snapshot_users(const struct snapshot *snapshot)
{
    const struct box *box;
    struct bytes users = {0};

    bytes_add(&users, "", 0);
    for (box = snapshot->d->boxes; box != NULL; box = box->next) {
        if (strcmp(box->snapshot_id, snapshot->id) != 0)
            continue;
        bytes_add_string(&users, users.len > 0 ? ", " : "");
        bytes_add_string(&users, box->name);
    }
    return users.at;
}

/* DELETE /snapshots/{id} */
static void snapshot_delete(struct exchange *exchange,
                            struct snapshot *snapshot)
{
    struct snapshot **link = &exchange->d->snapshots;
    char *users = snapshot_users(snapshot);

    if (strcmp(snapshot->id, box_default_snapshot) == 0) {
        reply_error(exchange, 409, "Conflict",
                    "the default snapshot cannot be deleted");
    } else if (*users != '\0') {
        reply_error(exchange, 409, "Conflict",
                    "Snapshot '%s' is in use by sandboxes: %s. Delete the "
                    "dependent resources first.",
                    snapshot->name, users);
    } else {
        while (*link != snapshot)
            link = &(*link)->next;
        *link = snapshot->next;
        exchange->d->snapshot_count--;
        snapshot_free(snapshot);
        reply_empty(exchange, 204);
    }
    free(users);
}

/* GET /snapshots */
static void snapshot_list(struct exchange *exchange)
{
    static const struct list_kind kind = {
        "snapshots", true, snapshot_sorts, snapshot_statuses, NULL,
        snapshot_write};
    struct listed *things =
        take((exchange->d->snapshot_count + 1) * sizeof *things);
    const struct snapshot *snapshot = exchange->d->snapshots;
    size_t count = 0;

    for (; snapshot != NULL; snapshot = snapshot->next) {
        things[count].thing = snapshot;
        things[count].sequence = snapshot->sequence;
        things[count].name = snapshot->name;
        things[count].status = snapshot_statuses[snapshot->status];
        things[count++].labels = &snapshot->labels;
    }
    list_reply(exchange, &kind, things, count);
    free(things);
}

/* A name, and where to look for those that have it. */
struct snapshot_name {
    const struct sandboxd *d;
    const char *name;
    bool found;
};

/* {"name":…,"tags":[{"tag":…,"snapshot_id":…}]} */
static void snapshot_write_tags(struct lssb_json_writer *json,
                                const void *ctx)
{
    const struct snapshot_name *wanted = ctx;
    const struct snapshot *snapshot = wanted->d->snapshots;
    size_t i;

    lssb_json_object(json, NULL);
    lssb_json_string(json, "name", wanted->name);
    lssb_json_array(json, "tags");
    for (; snapshot != NULL; snapshot = snapshot->next) {
        if (strcmp(snapshot->name, wanted->name) != 0)
            continue;
        for (i = 0; i < snapshot->tags.count; i++) {
            lssb_json_object(json, NULL);
            lssb_json_string(json, "tag", snapshot->tags.pairs[i].name);
            lssb_json_string(json, "snapshot_id", snapshot->id);
            lssb_json_close(json);
        }
    }
    lssb_json_close(json);
    lssb_json_close(json);
}

/* GET /snapshots-by-name/{name} */
static void snapshot_by_name(struct exchange *exchange, const char *name)
{
    struct snapshot_name wanted;
    const struct snapshot *snapshot = exchange->d->snapshots;

    wanted.d = exchange->d;
    wanted.name = name;
    while (snapshot != NULL && strcmp(snapshot->name, name) != 0)
        snapshot = snapshot->next;
    if (snapshot == NULL)
        reply_error(exchange, 404, "NotFound", "Snapshot '%s' not found",
                    name);
    else
        reply_json(exchange, 200, snapshot_write_tags, &wanted);
}

/* /snapshots/{id} */
static void snapshot_one(struct exchange *exchange, const char *name)
{
    struct snapshot *snapshot = snapshot_find(exchange->d, name);

    if (!api_method(exchange, "GET") && !api_method(exchange, "DELETE"))
        reply_allow(exchange, "GET, HEAD, DELETE");
    else if (snapshot == NULL)
        reply_error(exchange, 404, "NotFound", "Snapshot '%s' not found",
                    name);
    else if (api_method(exchange, "DELETE"))
        snapshot_delete(exchange, snapshot);
    else
        reply_json(exchange, 200, snapshot_write, snapshot);
}

/* /snapshots, /snapshots/{id}, /snapshots-by-name/{name} */
void snapshots_route(struct exchange *exchange, char **segments, size_t count)
{
    bool by_name = strcmp(segments[0], "snapshots-by-name") == 0;

    if (count > 2 || (by_name && count == 1))
        api_no_route(exchange);
    else if (by_name && !api_method(exchange, "GET"))
        reply_allow(exchange, "GET, HEAD");
    else if (by_name)
        snapshot_by_name(exchange, segments[1]);
    else if (count == 2)
        snapshot_one(exchange, segments[1]);
    else if (api_method(exchange, "GET"))
        snapshot_list(exchange);
    else if (api_method(exchange, "POST"))
        collect_json(exchange, snapshot_create);
    else
        reply_allow(exchange, "GET, HEAD, POST");
}
