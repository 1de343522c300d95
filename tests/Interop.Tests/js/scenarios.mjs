// node scenarios.mjs NAME: plays one scenario against the realm that REALM describes; a failed assertion ends it with exit code 1.
import { Authenticator, Client, assert, newIdentity, peersOf, realm } from './client.mjs'
import WebSocket from 'ws'

const scenarios = {
  async 'two people meet'() {
    const [ann, bob] = [await newIdentity(), await newIdentity()]
    const a = await new Client('ann').enter(ann)
    const b = await new Client('bob').enter(bob)
    // One after the other, for the older island stays when they merge.
    a.heartbeat(10, 10)
    const first = await a.island()
    b.heartbeat(1000, 10)
    const second = await b.island()
    assert.notEqual(first.islandId, second.islandId)
    assert.deepEqual(peersOf(first), [a.id])
    assert.equal(first.fromIslandId, undefined)

    b.heartbeat(40, 10)
    const met = await b.island()
    assert.equal(met.islandId, first.islandId)
    assert.equal(met.fromIslandId, second.islandId)
    assert.deepEqual(peersOf(met), [a.id, b.id].sort())

    // The list of islands follows the changes on the bus.
    const together = JSON.stringify([a.id, b.id].sort())
    for (let shown; shown !== together; ) {
      const { islands } = await (await fetch(`${realm.stats}comms/islands`)).json()
      shown = JSON.stringify(islands.find((i) => i.id === met.islandId)?.peers.map((p) => p.id).sort())
    }
    const about = await (await fetch(`${realm.provider}main/about`)).json()
    assert.equal(about.healthy, true)
    assert.equal(about.comms.adapter, `archipelago:archipelago:${realm.ws}`)
    a.close()
    b.close()
  },

  async 'a wrong signature is refused'() {
    const [ann, mallory] = [await newIdentity(), await newIdentity()]
    const forge = (challenge) => {
      const chain = Authenticator.signPayload(mallory.identity, challenge)
      chain[0].payload = ann.address
      return chain
    }
    for (const make of [forge, () => Authenticator.signPayload(ann.identity, 'dcl-another'), (c) => [{ type: 'SIGNER', payload: c, signature: '' }]]) {
      const client = await new Client('mallory').open()
      client.send('challengeRequest', { address: ann.address })
      const { challengeToSign } = await client.receive('challengeResponse')
      client.send('signedChallenge', { authChainJson: JSON.stringify(make(challengeToSign)) })
      assert.deepEqual(await client.closed, { code: 1008, reason: 'Authentication failed' })
      assert.deepEqual(client.packets, [undefined], 'nothing but the close')
    }
  },

  async 'a second session ends the first'() {
    const person = await newIdentity()
    const first = await new Client('first').enter(person)
    first.heartbeat(0, 0)
    await first.island()
    const second = await new Client('second').enter(person)
    assert.equal((await first.receive('kicked')).reason, 0)
    assert.equal((await first.closed).code, 1008)
    second.heartbeat(0, 0)
    await second.island()
    second.close()
  },

  async 'claiming one address and signing with another welcomes the signer'() {
    const [claimed, signer] = [await newIdentity(), await newIdentity()]
    const client = await new Client('signer').open([])
    client.send('challengeRequest', { address: claimed.address })
    const { challengeToSign } = await client.receive('challengeResponse')
    client.send('signedChallenge', { authChainJson: JSON.stringify(Authenticator.signPayload(signer.identity, challengeToSign)) })
    assert.equal((await client.receive('welcome')).peerId, signer.address.toLowerCase())
    client.close()
  },

  async 'noise is closed with a code that the wire allows'() {
    const closeOf = async (send) => {
      const client = await new Client('noise').open()
      send(client.socket)
      return client.closed
    }
    assert.deepEqual(await closeOf((s) => s.send(Buffer.from([1, 2, 3, 4, 5, 6]))), { code: 1007, reason: 'Cannot decode ClientPacket' })
    assert.equal((await closeOf((s) => s.send('{"type":"x"}'))).code, 1007)
    assert.equal((await closeOf((s) => s.send(Buffer.alloc(17 * 1024)))).code, 1009)
    assert.equal((await closeOf((s) => s.send(Buffer.alloc(0)))).code, 1008)
  },

  async 'the first protocol offered is selected, and compression is not'() {
    const client = await new Client('bevy').open(['archipelago', 'other'])
    assert.equal(client.socket.protocol, 'archipelago')
    assert.equal(client.socket.extensions, '')
    client.close()
    const plain = new WebSocket(realm.ws)
    await new Promise((resolve, reject) => plain.on('open', resolve).on('error', reject))
    assert.equal(plain.protocol, '')
    plain.close()
  },

  async 'the reference library accepts our own chains'() {
    const result = await Authenticator.validateSignature(realm.text, realm.chain, undefined)
    assert.equal(result.ok, true, result.message)
  },
}

const scenario = scenarios[process.argv[2]]
assert.ok(scenario, `there is no scenario "${process.argv[2]}"`)
await scenario()
process.exit(0)
