import type { Runtime } from '@textual-inversion/core';

/** Lets the events that are waiting come in, such as a message that says to stop. Not slowed down in a background tab, as timers are. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}

/** A runtime that takes a turn of the event loop before each run: engines in WebAssembly never wait for anything themselves. */
export function takingTurns(runtime: Runtime): Runtime {
  return {
    ...runtime,
    compile: (name, fn, traits) => {
      const compiled = runtime.compile(name, fn, traits);
      return {
        run: async (inputs) => {
          await nextTurn();
          return compiled.run(inputs);
        },
        dispose: () => compiled.dispose(),
      };
    },
  };
}
