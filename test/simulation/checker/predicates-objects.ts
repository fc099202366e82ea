/** The promises about large values: what a log refers to can be read. */
import type { Predicate } from './predicates.ts'

const names = /[0-9a-f]{64}/g

export const objectPredicates: readonly Predicate[] = [
  {
    name: 'objects-kept',
    promise: 'P1',
    sentence: 'A large value is there as long as a message that is in a log refers to it.',
    broken: (evidence) => {
      const changes = Map.groupBy(evidence.events('object'), ({ name }) => name)
      const isSteady = (name: string) => changes.get(name)?.every(({ isThere }) => isThere) ?? true
      if (evidence.serverLostData || [...changes.keys()].every(isSteady)) return []
      return evidence.history.logs.flatMap((log, partition) =>
        log.flatMap(({ sequence, data }) =>
          // By its letters alone: this is another reading than the ledger's.
          [...new Set(Buffer.from(data).toString('latin1').match(names))].flatMap((name) => {
            if (isSteady(name)) return []
            const place = `message ${sequence} of ${partition} refers to ${name.slice(0, 8)}, which was`
            const all = changes.get(name)!
            const before = all.findLast(({ logs }) => logs[partition]!.last < sequence)
            const isRemoved = all.some(({ isThere, logs }) => {
              const { first, last } = logs[partition]!
              return !isThere && first <= sequence && sequence <= last
            })
            return [
              ...(before !== undefined && !before.isThere ? [`${place} gone when it was written`] : []),
              ...(isRemoved ? [`${place} removed`] : []),
            ]
          }),
        ),
      )
    },
  },
]
