/* snapshots.c: a box is prepared once, and others start from what it was.
 *
 * SPDX-License-Identifier: MIT
 *
 * usage: LANGSMITH_ENDPOINT=… LANGSMITH_API_KEY=… snapshots
 */
#include <stdio.h>
#include <string.h>

#include "lssb.h"

/* Prepares a box and captures it. */
static lssb_status prepare(lssb_client *client, lssb_snapshot *snapshot)
{
    lssb_capture_options options;
    lssb_sandbox box;
    lssb_status status = lssb_sandbox_create(client, NULL, &box, NULL);

    memset(&options, 0, sizeof options);
    options.name = "prepared";
    if (status == LSSB_OK)
        status = lssb_file_write(&box, "/root/greeting", "hello", 5, NULL);
    if (status == LSSB_OK)
        status = lssb_snapshot_capture(&box, &options, snapshot, NULL);
    if (box.name[0] != '\0')
        lssb_sandbox_delete(&box, NULL);
    return status;
}

/* What a new box from the snapshot has in that file. */
static lssb_status look(lssb_client *client, const lssb_snapshot *snapshot)
{
    lssb_sandbox_options options;
    lssb_sandbox box;
    char text[64];
    size_t len;
    lssb_status status;

    memset(&options, 0, sizeof options);
    options.snapshot_id = snapshot->id;
    status = lssb_sandbox_create(client, &options, &box, NULL);
    if (status == LSSB_OK)
        status = lssb_file_read(&box, "/root/greeting", text, sizeof text,
                                &len, NULL);
    if (status == LSSB_OK)
        printf("%s says %.*s\n", box.name, (int)len, text);
    if (box.name[0] != '\0')
        lssb_sandbox_delete(&box, NULL);
    return status;
}

/* All snapshots, however many, in the room of four. */
static lssb_status list(lssb_client *client)
{
    lssb_snapshot_list walk;
    lssb_snapshot some[4];
    lssb_status status;
    size_t count, i;

    memset(&walk, 0, sizeof walk);
    while ((status = lssb_snapshot_next(client, &walk, some, 4, &count,
                                        NULL)) == LSSB_OK)
        for (i = 0; i < count; i++)
            printf("%-16s %-10s %lld bytes\n", some[i].name, some[i].status,
                   (long long)some[i].fs_capacity_bytes);
    return status == LSSB_END ? LSSB_OK : status;
}

int main(void)
{
    lssb_client *client;
    lssb_snapshot snapshot;
    lssb_error why;
    lssb_status status;

    if (lssb_open_why(&client, NULL, &why) != LSSB_OK) {
        fprintf(stderr, "%s\n", why.message);
        return 1;
    }
    memset(&snapshot, 0, sizeof snapshot);
    status = prepare(client, &snapshot);
    if (status == LSSB_OK)
        status = look(client, &snapshot);
    if (status == LSSB_OK)
        status = list(client);
    if (status != LSSB_OK)
        fprintf(stderr, "%s\n", lssb_error_text(client));
    if (snapshot.id[0] != '\0')
        lssb_snapshot_delete(&snapshot, NULL);
    lssb_close(client, NULL);
    return status != LSSB_OK;
}
