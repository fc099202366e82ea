/** The promises about several partitions: what landed in the wrong log counts once where it belongs, and is never lost. */
import type { Evidence, Predicate } from './predicates.ts'

export const partitionPredicates: readonly Predicate[] = [
  {
    name: 'placed',
    promise: 'P2',
    sentence: 'Every task and schedule stands in the partition that its submission belongs to.',
    broken: ({ replays }) => replays.flatMap(({ strays }) => strays.misplaced),
  },
  {
    name: 'brought',
    promise: 'P1',
    sentence: 'What landed in the log of another partition is brought to its own, and is said to be so only then.',
    broken: ({ history, replays }) =>
      replays.flatMap(({ strays: { partition, submissions, forwarded } }) =>
        submissions.flatMap(({ sequence, to }) => {
          const isSaid = sequence <= (forwarded.get(to) ?? 0)
          const isThere = replays[to]!.strays.brought.has(`${partition}-${sequence}`)
          if (isThere && (isSaid || history.healed === undefined)) return []
          if (!isSaid && history.healed === undefined) return []
          const what = isThere
            ? 'and nobody says so'
            : isSaid
              ? 'never was, though its leader says so'
              : 'waits for ever'
          return [`message ${sequence} of ${partition} is for ${to}: it ${isThere ? 'was brought' : ''} ${what}`]
        }),
      ),
  },
  {
    name: 'brought-from-somewhere',
    promise: 'P2',
    sentence: 'Nothing is brought that did not land in another log.',
    broken: ({ replays }) =>
      replays.flatMap(({ strays: { partition, brought } }) =>
        [...brought].flatMap((place) => {
          const [from, sequence] = place.split('-').map(Number)
          const landed = replays[from!]!.strays.submissions
          const isReal = landed.some((stray) => stray.sequence === sequence && stray.to === partition)
          return isReal ? [] : [`${place}, which is nothing for ${partition}, was brought to it`]
        }),
      ),
  },
  {
    name: 'signal-not-lost',
    promise: 'P4',
    sentence: 'No signal is set aside as for nobody when its task had been acknowledged before.',
    broken: (evidence) => {
      const { epochMs, clockErrorMs } = evidence.history
      const acceptedAtMs = firstAccepted(evidence)
      return evidence.replays.flatMap(({ strays: { partition, signals } }) =>
        [...signals].flatMap(([sequence, { task, atMs, isFound }]) => {
          const sinceMs = epochMs + (acceptedAtMs.get(task) ?? Number.POSITIVE_INFINITY) + clockErrorMs
          const isGone = evidence.everOf(task).some(({ isForgotten }) => isForgotten)
          return isFound === false && sinceMs < atMs && !isGone
            ? [`signal ${sequence} of ${partition} for ${task} was said to be for nobody`]
            : []
        }),
      )
    },
  },
  {
    name: 'signals-brought',
    promise: 'P4',
    sentence: 'Once the faults are over, every signal has been brought to its task, or is said to be for nobody.',
    broken: ({ history, replays }) =>
      replays.flatMap(({ strays: { partition, signals } }) =>
        [...signals].flatMap(([sequence, { task, signalId, isFound }]) => {
          const name = `${task} ${signalId === '' ? `${partition}-${sequence}` : signalId}`
          const isThere = replays.some(({ strays }) => strays.broughtSignals.has(name))
          if (isFound === undefined && history.healed === undefined) return []
          if (isFound === false || (isFound && isThere)) return []
          return [`signal ${sequence} of ${partition} for ${task} ${isFound ? 'never came there' : 'waits for ever'}`]
        }),
      ),
  },
  {
    name: 'settled-truly',
    promise: 'P1',
    sentence: 'What is said of the end of a task of another partition is how that ended.',
    broken: (evidence) =>
      evidence.replays.flatMap(({ strays: { partition, settled } }) =>
        settled.flatMap(({ id, status }) => {
          const ends = evidence.everOf(id).flatMap(({ endings }) => endings.map((ending) => ending.status as string))
          return ends.includes(status) ? [] : [`${partition} says that ${id} is ${status}; it is ${ends.join(', ')}`]
        }),
      ),
  },
]

/** When each id was first acknowledged to somebody. */
function firstAccepted(evidence: Evidence): Map<string, number> {
  const first = new Map<string, number>()
  for (const { id, atMs } of evidence.events('accepted')) if (!first.has(id)) first.set(id, atMs)
  return first
}
