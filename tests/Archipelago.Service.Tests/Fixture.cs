using System.Collections.Concurrent;
using Archipelago.Hosting;
using Archipelago.Messaging;
using Archipelago.Protocol;
using Archipelago.Testing;
using Decentraland.Common;
using Decentraland.Kernel.Comms.V3;
using Google.Protobuf;
using Microsoft.Extensions.DependencyInjection;

namespace Archipelago.Service.Tests;

/// <summary>A Service whose beats the test gives, and what it has published.</summary>
internal sealed class Fixture : IAsyncDisposable
{
    private RunningHost host = null!;

    public ManualClock Clock { get; } = new();

    public ConcurrentQueue<(string To, IslandChangedMessage Message)> Changes { get; } = new();

    public ConcurrentQueue<IslandStatusMessage> Reports { get; } = new();

    public ConcurrentQueue<ServiceDiscoveryMessage> Discoveries { get; } = new();

    public RunningHost Host => host;

    public static Dictionary<string, string> Values => new()
    {
        ["LIVEKIT_HOST"] = "wss://livekit.example", ["LIVEKIT_API_KEY"] = "key", ["LIVEKIT_API_SECRET"] = "a-secret-of-at-least-thirty-two-characters",
        // Beats are given by the test.
        ["ARCHIPELAGO_FLUSH_FREQUENCY"] = "3600", ["ARCHIPELAGO_NEWCOMER_INTERVAL_MS"] = "0", ["ROOM_BOOT_PART"] = "",
    };

    /// <param name="more">What is configured beside <see cref="Values"/>.</param>
    /// <param name="wrap">Puts something between the Service and its bus.</param>
    public static async Task<Fixture> StartAsync(Dictionary<string, string>? more = null, Func<IMessageBus, IMessageBus>? wrap = null)
    {
        var fixture = new Fixture();
        Dictionary<string, string> values = Values;
        foreach ((string name, string value) in more ?? [])
            values[name] = value;
        fixture.host = await RunningHost.StartAsync(context =>
        {
            // Before the Service starts, so that its first words are heard.
            context.Bus.Subscribe("engine.peer.*.island_changed", m =>
            {
                Subjects.TryGetEnginePeer(m.Subject, out ReadOnlySpan<byte> to);
                fixture.Changes.Enqueue((Subjects.Text(to), IslandChangedMessage.Parser.ParseFrom(m.Payload)));
            });
            context.Bus.Subscribe(Subjects.Islands, m => fixture.Reports.Enqueue(IslandStatusMessage.Parser.ParseFrom(m.Payload)));
            context.Bus.Subscribe(Subjects.Discovery, m => fixture.Discoveries.Enqueue(ServiceDiscoveryMessage.Parser.ParseFrom(m.Payload)));
            return ServiceHost.Build(wrap is null ? context : context with { Bus = wrap(context.Bus) });
        }, values, fixture.Clock);
        // The host's own first beat; from here on the test gives them.
        await Eventually.TrueAsync(() => !fixture.Reports.IsEmpty);
        return fixture;
    }

    public ValueTask HeartbeatAsync(string address, float x, float z, string? room = null)
    {
        var heartbeat = new Heartbeat { Position = new Position { X = x, Y = 5, Z = z } };
        if (room is not null)
            heartbeat.DesiredRoom = room;
        return host.Bus.PublishAsync(Subjects.Heartbeat(address), heartbeat.ToByteArray());
    }

    /// <summary>One beat; returns the changes that it told.</summary>
    public async Task<List<(string To, IslandChangedMessage Message)>> BeatAsync()
    {
        Changes.Clear();
        await host.Services.GetRequiredService<FlushLoop>().CycleAsync(default);
        return [.. Changes];
    }

    public ValueTask DisposeAsync() => host.DisposeAsync();
}
