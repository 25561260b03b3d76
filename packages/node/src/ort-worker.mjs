// A thread of its own for ONNX Runtime, whose runs in Node occupy theirs until they are done. Answers the calls of `ort-thread.ts`.
// oxlint-disable unicorn/require-post-message-target-origin -- threads have no origins
import { parentPort } from 'node:worker_threads';
import * as module from 'onnxruntime-node';

const ort = 'default' in module ? module.default : module;
ort.env.logLevel = 'fatal'; // its errors are thrown as well

/** Sessions by their numbers. */
const sessions = new Map();
let created = 0;

const calls = {
  /** @returns The session's number. */
  async create({ model, options }) {
    const session = created++;
    sessions.set(session, await ort.InferenceSession.create(model, options));
    return session;
  },
  async run({ session, feeds }) {
    const tensor = ([name, { type, data, dims }]) => [name, new ort.Tensor(type, data, dims)];
    const outputs = await sessions.get(session).run(Object.fromEntries(Object.entries(feeds).map(tensor)));
    return Object.fromEntries(Object.entries(outputs).map(([name, { data, dims }]) => [name, { data, dims }]));
  },
  async release({ session }) {
    const released = sessions.get(session);
    sessions.delete(session);
    await released.release();
  },
};

parentPort.on('message', ({ id, call, given }) => {
  calls[call](given).then(
    (result) => parentPort.postMessage({ id, result }),
    (error) => parentPort.postMessage({ id, error }),
  );
});
