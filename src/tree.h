/* tree.h: what the parts that move trees share; of those alone.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef LSSB_TREE_H
#define LSSB_TREE_H

#include "internal.h"

#define TREE_PIECE 768              /* bytes of an archive in one line */

/* On the way down. */
struct tree_down {
    struct lssb_tar tar;
    intptr_t root;
    intptr_t parent;                /* of the entry at hand; may be the root */
    intptr_t file;                  /* that is being written */
    intptr_t source;                /* and what it is a copy of */
    uint64_t copied;
    uint16_t parent_len;
    uint16_t judged_len;
    uint16_t from;                  /* of the block, what is not read yet */
    uint16_t len;
    bool root_open;
    bool parent_open;               /* and it is not the root */
    bool file_open;
    bool source_open;
    bool refused;                   /* the last directory of `judged` */
    bool complete;
    uint8_t block[TREE_PIECE];
    char parent_path[LSSB_TAR_PATH];
    char judged[LSSB_TAR_PATH];     /* what the caller was asked about last:
                                       of that, directories only count */
};

/* tree_place.c: a tree's tools, and what it has on the way down. */
LSSB_PRIVATE struct lssb_tools_state *lssb_tree_state(lssb_tree *tree);
LSSB_PRIVATE struct tree_down *lssb_tree_down(lssb_tree *tree);
/* Ends the call: what is wrong, with which path, a system's number. */
LSSB_PRIVATE lssb_status lssb_tree_stop(lssb_tree *tree, lssb_status status,
                                        const char *path, const char *why,
                                        int32_t code);
/* An entry begins; bytes for the file at hand, if it is wanted; some of a file
 * that has a second name, LSSB_AGAIN: there is more; the entry is complete. */
LSSB_PRIVATE lssb_status lssb_tree_entry(lssb_tree *tree);
LSSB_PRIVATE lssb_status lssb_tree_write(lssb_tree *tree, const void *bytes,
                                         size_t len);
LSSB_PRIVATE lssb_status lssb_tree_copy(lssb_tree *tree);
LSSB_PRIVATE lssb_status lssb_tree_entry_end(lssb_tree *tree);
/* The last name of the entry at hand; forgets the directory it is in. */
LSSB_PRIVATE const char *lssb_tree_leaf(lssb_tree *tree);
LSSB_PRIVATE void lssb_tree_leave(lssb_tree *tree);

#endif
