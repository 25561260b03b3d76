import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { probeBackends } from '../backends.js';
import { MEASURED_BATCH, measureStep } from '../measure-step.js';
import { type EngineFlags, openModel, withEngine } from './options.js';

interface DoctorFlags extends EngineFlags {
  readonly json?: boolean;
}

export function doctorCommand(): Command {
  return withEngine(new Command('doctor'))
    .description('list the backends of this machine, say which would be used and why, and how fast a step is')
    .option('--json', 'print JSON')
    .action(async (flags: DoctorFlags) => {
      const backends = await probeBackends();
      const model = await openModel(flags, true);
      const { name, reason } = model.backend;
      const secondsPerStep = await measureStep(model).finally(() => model.dispose());
      const machine = {
        node: process.versions.node,
        platform: `${process.platform}-${process.arch}`,
        cores: availableParallelism(),
      };
      if (flags.json) {
        const chosen = { name, reason };
        console.log(JSON.stringify({ machine, backends, chosen, model: model.name, secondsPerStep }, undefined, 2));
        return;
      }
      console.log(`Node ${machine.node}, ${machine.platform}, ${machine.cores} cores\n`);
      for (const { name: backend, what, works, problem } of backends)
        console.log(`${works ? 'yes' : 'no '}  ${backend.padEnd(13)} ${works ? what : shortened(problem ?? '')}`);
      console.log(`\nIt takes ${name}: ${reason}.`);
      console.log(
        `A training step of ${model.name} with ${MEASURED_BATCH} pictures takes ${secondsPerStep.toFixed(3)} s.`,
      );
    });
}

/** A reason that fits on a line or two; `--json` has it whole. */
function shortened(reason: string): string {
  return reason.length > 160 ? `${reason.slice(0, 157)}...` : reason;
}
