// A client made of the reference libraries alone: what it says and understands is what Decentraland's explorers do.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import WebSocket from 'ws'
import { TokenVerifier } from 'livekit-server-sdk'

const require = createRequire(import.meta.url)
const { Authenticator } = require('@dcl/crypto')
const { createUnsafeIdentity } = require('@dcl/crypto/dist/crypto')
const { ClientPacket, ServerPacket } = require('@dcl/protocol/out-js/decentraland/kernel/comms/v3/archipelago.gen')

export { Authenticator, assert }

export const realm = JSON.parse(process.env.REALM ?? '{}')

export async function newIdentity() {
  const owner = createUnsafeIdentity()
  const identity = await Authenticator.initializeAuthChain(owner.address, createUnsafeIdentity(), 10, async (message) =>
    Authenticator.createSignature(owner, message))
  return { address: owner.address, identity }
}

export class Client {
  constructor(name) {
    this.name = name
    this.packets = []
    this.waiting = []
    this.closed = new Promise((resolve) => (this.onClosed = resolve))
  }

  async open(protocols = ['archipelago'], url = realm.ws) {
    this.socket = new WebSocket(url, protocols)
    this.socket.on('message', (data, isBinary) => {
      assert.ok(isBinary, 'the server sends binary frames')
      this.push(ServerPacket.decode(new Uint8Array(data)))
    })
    this.socket.on('close', (code, reason) => {
      this.onClosed({ code, reason: reason.toString() })
      this.push(undefined)
    })
    this.socket.on('error', () => {})
    await new Promise((resolve, reject) => {
      this.socket.on('open', resolve)
      this.socket.on('error', reject)
    })
    return this
  }

  push(packet) {
    const next = this.waiting.shift()
    if (next) next(packet)
    else this.packets.push(packet)
  }

  async receive(kind) {
    const packet = this.packets.length > 0 ? this.packets.shift() : await new Promise((resolve) => this.waiting.push(resolve))
    assert.ok(packet, `${this.name}: closed while waiting for ${kind}`)
    assert.equal(packet.message?.$case, kind)
    return packet.message[kind]
  }

  send(kind, value) {
    this.socket.send(ClientPacket.encode({ message: { $case: kind, [kind]: value } }).finish())
  }

  async enter(person, url = realm.ws) {
    await this.open(['archipelago'], url)
    await this.prove(person)
    this.id = (await this.receive('welcome')).peerId
    assert.equal(this.id, person.address.toLowerCase())
    return this
  }

  // Asks for a challenge and signs it.
  async prove(person) {
    this.send('challengeRequest', { address: person.address })
    const { challengeToSign } = await this.receive('challengeResponse')
    this.send('signedChallenge', { authChainJson: JSON.stringify(Authenticator.signPayload(person.identity, challengeToSign)) })
  }

  heartbeat(x, z) {
    this.send('heartbeat', { position: { x, y: 2, z } })
  }

  // The island, once its token has been verified by LiveKit's own library.
  async island() {
    const change = await this.receive('islandChanged')
    const url = new URL(change.connStr.replace(/^livekit:/, ''))
    const claims = await new TokenVerifier(realm.livekitKey, realm.livekitSecret).verify(url.searchParams.get('access_token'))
    assert.equal(claims.video.room, change.islandId)
    assert.equal(claims.sub, this.id)
    assert.equal(claims.video.roomJoin, true)
    assert.ok(change.peers instanceof Map ? change.peers.has(this.id) : this.id in change.peers, 'the receiver is among the peers')
    return change
  }

  close() {
    this.socket.close()
  }
}

export const peersOf = (change) => (change.peers instanceof Map ? [...change.peers.keys()] : Object.keys(change.peers)).sort()
