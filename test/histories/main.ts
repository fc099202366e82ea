/** `npm run histories -- [--minutes M] [--seed S]`: histories of people with a plain NATS client, judged. */
import { parseArgs } from 'node:util'
import { explain, judge } from './judge.ts'
import { trial } from './trial.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' } },
})
const seed = Number(values.seed ?? Math.floor(performance.timeOrigin) % 1_000_000)
const say = (line: string) => process.stdout.write(`${line}\n`)
say(`seed ${seed}`)
const history = await trial({ seed, actMs: Number(values.minutes) * 60_000, say })
const violations = judge(history)
for (const violation of violations) say(explain(violation))
const ends = Object.groupBy(history.operations, ({ end }) => end)
const ids = new Set(history.operations.map(({ id }) => id)).size
const counts = `${ends.ok?.length ?? 0} answered, ${ends.fail?.length ?? 0} refused, ${ends.info?.length ?? 0} of which nobody knows`
say(`${ids} tasks, ${counts}, ${history.effects.length} effects: ${violations.length} violations`)
process.exitCode = violations.length > 0 ? 1 : 0
