/**
 * A signal that Ctrl-C aborts: the job ends after its current step and saves. A second Ctrl-C leaves at once.
 * @param onFirst - Says that the job is being stopped.
 */
export function interruptSignal(onFirst: () => void): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(130);
    onFirst();
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}
