using Archipelago.Messaging;
using Archipelago.Testing;
using Decentraland.Kernel.Comms.V3;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Service.Tests;

/// <summary>
/// The scenarios of admission that the replaced service was recorded in, by their names, with what becomes of them here: a ban is looked at when somebody comes and not at each
/// assignment; whoever is in is moved like everybody else until the Connector ends the session; no id is spent on an attempt; and where there a failing transport
/// threw people out, here nothing can fail but the bus, and what it refuses is told again.
/// </summary>
public class AdmissionScenarioTests
{
    private sealed class Bans : IAsyncDisposable
    {
        private readonly HashSet<string> rejected = [];
        private StubServer server = null!;

        public Fixture Service { get; private set; } = null!;

        public static async Task<Bans> StartAsync()
        {
            var bans = new Bans();
            bans.server = await StubServer.StartAsync(http =>
            {
                string id = http.Request.Path.Value!.Split('/')[2];
                lock (bans.rejected)
                    return http.Response.WriteAsync(bans.rejected.Contains(id) ? """{"data":{"isBanned":true}}""" : "{}");
            });
            bans.Service = await Fixture.StartAsync(new() { ["COMMS_GATEKEEPER_URL"] = bans.server.Url });
            return bans;
        }

        /// <summary>Somebody speaks for the first time; completes when the gatekeeper's answer has let it in, for who comes first is older.</summary>
        public async Task EnterAsync(string id, float x)
        {
            await Service.HeartbeatAsync(id, x, 0);
            await Eventually.TrueAsync(() => Service.Host.Services.GetRequiredService<Worlds>().Now.Peers.TryFind(System.Text.Encoding.ASCII.GetBytes(id), out _));
        }

        public void Reject(params string[] ids)
        {
            lock (rejected)
                rejected.UnionWith(ids);
        }

        /// <summary>Lets them in again, and makes what the gatekeeper said before old.</summary>
        public void Accept(params string[] ids)
        {
            lock (rejected)
                rejected.ExceptWith(ids);
            Service.Clock.Advance(TimeSpan.FromSeconds(30));
        }

        /// <summary>Beats until so many changes were told, and gives them as "peer: from to".</summary>
        public async Task<string[]> FlushAsync(int changes)
        {
            var told = new List<string>();
            await Eventually.TrueAsync(async () =>
            {
                told.AddRange(Tell(await Service.BeatAsync()));
                return told.Count >= changes;
            });
            // And nothing more comes.
            told.AddRange(Tell(await Service.BeatAsync()));
            return [.. told.Order()];
        }

        public string Islands => string.Join(' ', Service.Reports.Last().Data.Select(i => $"{i.Id}:{string.Join(',', i.Peers.Order())}").Order());

        public async ValueTask DisposeAsync()
        {
            await Service.DisposeAsync();
            await server.DisposeAsync();
        }
    }

    private static IEnumerable<string> Tell(IEnumerable<(string To, IslandChangedMessage Message)> changes) => changes.Select(c => $"{c.To}: {c.Message.FromIslandId} {c.Message.IslandId}");

    [Fact]
    public async Task Rejected_peer_is_evicted_and_gets_no_update()
    {
        await using Bans bans = await Bans.StartAsync();
        bans.Reject("x");
        await bans.Service.HeartbeatAsync("x", 0, 0);
        await bans.Service.HeartbeatAsync("y", 0, 0);
        Assert.Equal(["y:  I1"], await bans.FlushAsync(1)); // I2 there: an id was spent on x
        await bans.Service.HeartbeatAsync("x", 0, 0);
        Assert.Empty(await bans.FlushAsync(0));
        bans.Accept("x");
        await bans.Service.HeartbeatAsync("x", 0, 0);
        Assert.Equal(["x:  I1"], await bans.FlushAsync(1)); // from I4 there, which nobody had ever heard of
        Assert.Equal("I1:x,y", bans.Islands);
    }

    [Fact]
    public async Task Peer_rejected_during_a_merge()
    {
        await using Bans bans = await Bans.StartAsync();
        await bans.EnterAsync("a", 0);
        await bans.FlushAsync(1);
        await bans.EnterAsync("b", 200);
        await bans.EnterAsync("c", 201);
        await bans.FlushAsync(2);
        bans.Reject("a");
        await bans.Service.HeartbeatAsync("a", 199, 0);
        Assert.Equal(["a: I1 I2"], await bans.FlushAsync(1)); // thrown out there, by the very flush that would move it
        Assert.Equal("I2:a,b,c", bans.Islands);
    }

    [Fact]
    public async Task Peer_rejected_during_a_split()
    {
        await using Bans bans = await Bans.StartAsync();
        await bans.EnterAsync("a", 0);
        await bans.EnterAsync("b", 1);
        await bans.FlushAsync(2);
        bans.Reject("b");
        await bans.Service.HeartbeatAsync("b", 300, 0);
        Assert.Equal(["b: I1 I2"], await bans.FlushAsync(1)); // thrown out there
        Assert.Equal("I1:a I2:b", bans.Islands);
    }

    [Fact]
    public async Task Rejected_member_of_a_staying_group_is_not_noticed()
    {
        await using Bans bans = await Bans.StartAsync();
        await bans.EnterAsync("a", 0);
        await bans.EnterAsync("b", 1);
        await bans.FlushAsync(2);
        bans.Reject("a", "b");
        await bans.Service.HeartbeatAsync("a", 2, 0);
        await bans.Service.HeartbeatAsync("b", 3, 0);
        Assert.Empty(await bans.FlushAsync(0)); // as there
        Assert.Equal("I1:a,b", bans.Islands);
    }

    /// <summary>A bus that refuses to take island changes for a while.</summary>
    private sealed class RefusingBus(IMessageBus inner) : IMessageBus
    {
        public bool Refuses { get; set; }

        public bool IsConnected => inner.IsConnected;

        public int MaxPayload => inner.MaxPayload;

        public ValueTask PublishAsync(string subject, ReadOnlyMemory<byte> payload, WhenDisconnected whenDisconnected, CancellationToken cancellationToken, ReadOnlyMemory<byte> headers) =>
            Refuses && subject.Contains("island_changed", StringComparison.Ordinal)
                ? throw new IOException("refused on purpose")
                : inner.PublishAsync(subject, payload, whenDisconnected, cancellationToken, headers);

        public IDisposable Subscribe(string pattern, MessageHandler handler) => inner.Subscribe(pattern, handler);

        public Task FlushAsync(CancellationToken cancellationToken) => inner.FlushAsync(cancellationToken);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }

    /// <summary>Does this while the bus refuses, and says what is told when it no longer does.</summary>
    private static async Task<string[]> RefuseMeanwhileAsync(Func<Fixture, Task> before, Func<Fixture, Task> meanwhile)
    {
        RefusingBus refusing = null!;
        await using Fixture service = await Fixture.StartAsync(wrap: bus => refusing = new RefusingBus(bus));
        await before(service);
        await service.BeatAsync();
        refusing.Refuses = true;
        await meanwhile(service);
        await Assert.ThrowsAsync<IOException>(service.BeatAsync);
        await Assert.ThrowsAsync<IOException>(service.BeatAsync);
        refusing.Refuses = false;
        string[] told = [.. Tell(await service.BeatAsync())];
        Assert.Empty(await service.BeatAsync());
        return told;
    }

    [Fact]
    public async Task Transport_failure_for_a_new_peer() => Assert.Equal(
        ["a:  I1"], // dropped until its next heartbeat there, and told I2 then
        await RefuseMeanwhileAsync(_ => Task.CompletedTask, s => s.HeartbeatAsync("a", 0, 0).AsTask()));

    [Fact]
    public async Task Transport_failure_while_splitting() => Assert.Equal(
        ["b: I1 I2"], // goes back there until somebody moves again, and is told I4 then
        await RefuseMeanwhileAsync(
            async s =>
            {
                await s.HeartbeatAsync("a", 0, 0);
                await s.HeartbeatAsync("b", 10, 0);
            },
            s => s.HeartbeatAsync("b", 300, 0).AsTask()));

    [Fact]
    public async Task Transport_failure_while_merging() => Assert.Equal(
        ["b: I2 I1"], // the same there, but only after the next heartbeat
        await RefuseMeanwhileAsync(
            async s =>
            {
                await s.HeartbeatAsync("a", 0, 0);
                await s.BeatAsync();
                await s.HeartbeatAsync("b", 300, 0);
            },
            s => s.HeartbeatAsync("b", 10, 0).AsTask()));
}
