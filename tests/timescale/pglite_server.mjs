// A PostgreSQL server for the tests of the tiers: TimescaleDB in WebAssembly (pglite), one backend behind a queue.
//
//     node pglite_server.mjs PACKAGE_FOLDER LICENSE DATA_FOLDER
//
// prints the port it listens on. Clients share the backend: a transaction of one keeps the others waiting, what each
// said at its start (search_path, TimeZone) is set anew whenever the turn passes on, and names of prepared statements get
// the client's number. COPY FROM STDIN is answered here and handed over whole, as the backend cannot wait for more.
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";

const [packageFolder, license, dataFolder] = process.argv.slice(2);
const { PGlite } = await import(`${packageFolder}/dist/index.js`);
const { timescaledb } = await import(`${packageFolder}/dist/timescaledb/index.js`);

async function start() {
    if (license === "timescale") {
        const database = await PGlite.create({ extensions: { timescaledb } }); // in memory
        await database.exec("create extension if not exists timescaledb");
        return database;
    }
    // A session cannot choose another licence, the server's file can.
    const options = { dataDir: `file://${dataFolder}`, extensions: { timescaledb } };
    const first = await PGlite.create(options);
    await first.exec("create extension if not exists timescaledb");
    await first.close();
    appendFileSync(`${dataFolder}/postgresql.conf`, `\ntimescaledb.license = '${license}'\n`);
    return PGlite.create(options);
}

const database = await start();
const waiting = [];
let owner = null; // client with an open transaction
let last = null; // client whose settings are set
let busy = false;
let clients = 0;

const text = (bytes) => Buffer.from(bytes).toString("utf8");

function message(type, ...parts) {
    const body = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(`${part}\0`) : part)));
    const head = Buffer.alloc(5);
    head.write(type);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
}

const int32 = (value) => { const b = Buffer.alloc(4); b.writeInt32BE(value); return b; };

function greeting(client) {
    const facts = {
        server_version: "17.5", server_encoding: "UTF8", client_encoding: "UTF8", DateStyle: "ISO, MDY",
        TimeZone: "UTC", integer_datetimes: "on", standard_conforming_strings: "on", IntervalStyle: "postgres",
    };
    return Buffer.concat([
        message("R", int32(0)),
        ...Object.entries(facts).map(([name, value]) => message("S", name, value)),
        message("K", int32(client.number), int32(0)),
        message("Z", Buffer.from("I")),
    ]);
}

// Settings among the start-up parameters: `options` holds them as `-c name=value`, blanks in values escaped.
function settingsOf(parameters) {
    const settings = [];
    const words = (parameters.options ?? "").match(/(?:\\.|\S)+/g) ?? [];
    for (const word of words) {
        const found = word.replace(/\\(.)/g, "$1").match(/^(?:-c)?([A-Za-z_.]+)=(.*)$/s);
        if (found) settings.push([found[1], found[2]]);
    }
    return settings;
}

// Statement names get the client's number: Parse, Bind, Describe, Close.
function renamed(client, type, body) {
    const zero = (from) => body.indexOf(0, from);
    const insert = (at) =>
        body[at] === 0 ? body : Buffer.concat([body.subarray(0, at), Buffer.from(`c${client.number}_`), body.subarray(at)]);
    if (type === "P") return insert(0);
    if (type === "B") return insert(zero(0) + 1);
    if ((type === "D" || type === "C") && body[0] === 0x53) return insert(1);
    return body;
}

function statusIn(answer) {
    let status = null;
    for (let at = 0; at < answer.length; at += 1 + answer.readInt32BE(at + 1)) {
        if (answer[at] === 0x5a) status = String.fromCharCode(answer[at + 5]);
    }
    return status;
}

function without(answer, type) {
    const kept = [];
    for (let at = 0; at < answer.length; ) {
        const end = at + 1 + answer.readInt32BE(at + 1);
        if (answer[at] !== type.charCodeAt(0)) kept.push(answer.subarray(at, end));
        at = end;
    }
    return Buffer.concat(kept);
}

async function serve({ client, bytes, isCopy }) {
    if (last !== client) {
        const sets = client.settings.map(([name, value]) => `select set_config('${name}', '${value.replaceAll("'", "''")}', false)`);
        await database.exec(["reset all", ...sets].join(";"));
        last = client;
    }
    let answer = Buffer.from(await database.execProtocolRaw(bytes, { syncToFs: false }));
    if (isCopy) answer = without(answer, "G");
    const status = statusIn(answer);
    if (status !== null) owner = status === "I" ? null : client;
    if (!client.socket.destroyed) client.socket.write(answer);
    if (client.gone && owner === client) await release(client);
}

async function release(client) {
    await database.exec("rollback");
    owner = null;
}

async function work() {
    if (busy) return;
    busy = true;
    for (;;) {
        const next = waiting.findIndex((unit) => owner === null || unit.client === owner);
        if (next < 0) break;
        const [unit] = waiting.splice(next, 1);
        try {
            if (unit.leaves) { if (owner === unit.client) await release(unit.client); } else await serve(unit);
        } catch (error) {
            console.error(error);
            unit.client.socket.destroy();
        }
    }
    busy = false;
}

function enqueue(unit) {
    waiting.push(unit);
    void work();
}

// One message of a client; messages are kept together until the one after which the backend answers.
function take(client, type, body) {
    if (type === "X") return void client.socket.end();
    const whole = Buffer.concat([Buffer.from(type), int32(0), renamed(client, type, body)]);
    whole.writeInt32BE(whole.length - 1, 1);
    client.unit.push(whole);
    const copy = type === "Q" && text(body).match(/^\s*copy\s+\S+\s*\(([^)]*)\)\s*from\s+stdin(.*)$/is);
    if (copy) {
        const format = /binary/i.test(copy[2]) ? 1 : 0;
        const columns = copy[1].split(",").length;
        const formats = Buffer.alloc(3 + 2 * columns);
        formats.writeInt8(format, 0);
        formats.writeInt16BE(columns, 1);
        for (let i = 0; i < columns; i += 1) formats.writeInt16BE(format, 3 + 2 * i);
        client.copying = true;
        client.socket.write(message("G", formats));
    } else if ("QSHcf".includes(type) && !(client.copying && "SH".includes(type))) {
        enqueue({ client, bytes: Buffer.concat(client.unit), isCopy: client.copying });
        client.unit = [];
        client.copying = false;
    }
}

function begin(client, body) {
    const code = body.readInt32BE(0);
    if (code === 80877103 || code === 80877104) return void client.socket.write("N"); // neither TLS nor GSS here
    const words = text(body.subarray(4)).split("\0");
    const parameters = {};
    for (let i = 0; i + 1 < words.length && words[i]; i += 2) parameters[words[i]] = words[i + 1];
    client.settings = settingsOf(parameters);
    client.started = true;
    client.socket.write(greeting(client));
}

const server = createServer((socket) => {
    clients += 1;
    const client = { socket, number: clients, unit: [], settings: [], started: false, copying: false, gone: false };
    let buffered = Buffer.alloc(0);
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
        buffered = Buffer.concat([buffered, chunk]);
        for (;;) {
            const head = client.started ? 1 : 0;
            if (buffered.length < head + 4) return;
            const end = head + buffered.readInt32BE(head);
            if (buffered.length < end) return;
            const body = buffered.subarray(head + 4, end);
            if (client.started) take(client, String.fromCharCode(buffered[0]), body);
            else begin(client, body);
            buffered = buffered.subarray(end);
        }
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
        client.gone = true;
        enqueue({ client, leaves: true });
    });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
