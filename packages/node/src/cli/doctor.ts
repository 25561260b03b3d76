import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { createBackend, probeBackends } from '../backends.js';
import { measureStep } from '../measure-step.js';
import { loadModel, TINY } from '../models.js';

export function doctorCommand(): Command {
  return new Command('doctor')
    .description('list the backends of this machine, say which would be used and why, and how fast a step is')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const backends = await probeBackends();
      const { name, reason, runtime } = await createBackend();
      runtime.dispose();
      const model = await loadModel(TINY);
      const secondsPerStep = await measureStep(model);
      model.dispose();
      const machine = {
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
        cores: availableParallelism(),
      };
      if (json) {
        console.log(JSON.stringify({ machine, backends, chosen: { name, reason }, secondsPerStep }, undefined, 2));
        return;
      }
      console.log(`Node ${machine.node}, ${machine.platform}, ${machine.cores} cores\n`);
      for (const { name: backend, what, works, problem } of backends)
        console.log(`${works ? 'yes' : 'no '}  ${backend.padEnd(13)} ${works ? what : shortened(problem ?? '')}`);
      console.log(`\nauto takes ${name}: ${reason}.`);
      console.log(`A training step of the embedded model (batch 4) takes ${secondsPerStep.toFixed(3)} s.`);
    });
}

/** A reason that fits on a line or two; `--json` has it whole. */
function shortened(reason: string): string {
  return reason.length > 160 ? `${reason.slice(0, 157)}...` : reason;
}
