import { expectDurable } from 'troupe/testing'
import { trip } from './trip.ts'

// Once without a fault, then once for every commit at which the node could die; three days take no time.
const run = await expectDurable(trip, { traveller: 'Ada', days: 3 }, { signals: [{ type: 'RATED', stars: 5 }] })
console.log(run.result)
