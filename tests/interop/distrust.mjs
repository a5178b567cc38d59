// sandboxd's certificate is unknown here: nothing may get through, the key
// least of all.
//
// SPDX-License-Identifier: MIT

import { SandboxClient } from "langsmith/sandbox";
import assert from "node:assert/strict";
import { finish, test } from "./check.mjs";

await test("an unknown certificate is refused", async () => {
    const client = new SandboxClient({ maxRetries: 0 });
    const error = await client.listSandboxes().catch((e) => e);
    assert.match(String(error.cause?.code), /SIGNATURE|SELF_SIGNED|ISSUER/);
});

finish();
