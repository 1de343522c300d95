using Archipelago.Ethereum;
using Archipelago.Hosting;

namespace Archipelago.Connector;

/// <summary>Why somebody is not let in.</summary>
/// <param name="Reason">What the close frame says.</param>
/// <param name="Outcome">What metrics call it.</param>
/// <param name="Kicked">Whether a <c>kicked</c> message goes first, as for the banned.</param>
internal sealed record Refusal(CloseReason Reason, string Outcome, bool Kicked = false)
{
    public static readonly Refusal Denied = new(CloseReason.NotAllowed, "denied");
    public static readonly Refusal Banned = new(CloseReason.NotAllowed, "banned", Kicked: true);
    public static readonly Refusal Unchecked = new(CloseReason.Busy, "unchecked");
    public static readonly Refusal Forged = new(CloseReason.BadAuthentication, "bad authentication");
    public static readonly Refusal Busy = new(CloseReason.Busy, "busy");
    public static readonly Refusal CoolingDown = new(CloseReason.CoolingDown, "cooling down");
}

/// <summary>What became of a signed challenge.</summary>
/// <param name="Address">Who it is, in lower case; null when refused.</param>
/// <param name="SessionKey">Which device; null when refused.</param>
/// <param name="Refusal">Why not; null when let in.</param>
internal readonly record struct Verdict(string? Address, string? SessionKey, Refusal? Refusal)
{
    public static implicit operator Verdict(Refusal refusal) => new(null, null, refusal);
}

/// <summary>Decides who may come in: by the deny list, by what they sign, by the gatekeeper's bans and by cool-downs. Any thread.</summary>
internal sealed class Doorkeeper(
    DenyList denyList, Gatekeeper gatekeeper, SignatureQueue signatures, AuthChainValidator validator, Cooldowns cooldowns, ConnectorOptions options, SessionMetrics metrics, TimeProvider clock)
{
    /// <summary>However long a contract wallet's node takes.</summary>
    private static readonly TimeSpan VerificationLimit = TimeSpan.FromSeconds(10);

    /// <summary>Checks the address that somebody claims; null when it may try to prove it.</summary>
    public async ValueTask<Refusal?> CheckClaimAsync(string claimed) => await denyList.CheckAsync(claimed) switch
    {
        BanStatus.Banned => Refusal.Denied,
        BanStatus.Unknown when gatekeeper.FailsClosed => Refusal.Unchecked,
        _ => null,
    };

    /// <summary>Checks what somebody has signed.</summary>
    /// <param name="authChain">The chain, as JSON.</param>
    /// <param name="challenge">What had to be signed.</param>
    public async ValueTask<Verdict> VerifyAsync(string authChain, string challenge)
    {
        AuthChainResult result;
        if (!AuthChain.TryParse(authChain, out AuthChain? chain))
            return Refusal.Forged;
        if (!signatures.TryEnter(out SignatureQueue.Place place))
            return Refusal.Busy;
        using (place)
        {
            using var limit = new CancellationTokenSource(VerificationLimit, clock);
            try
            {
                result = await validator.ValidateAsync(chain, challenge, clock.GetUtcNow(), limit.Token);
            }
            catch (OperationCanceledException)
            {
                return Refusal.Busy;
            }
        }
        if (!result.Ok)
            return result.Error == AuthChainError.NoAnswer ? Refusal.Unchecked : Refusal.Forged;
        string address = result.Address!;
        if (await CheckClaimAsync(address) is { } denied)
            return denied;
        switch (await gatekeeper.CheckAsync(address))
        {
            case BanStatus.Banned:
                return Refusal.Banned;
            case BanStatus.Unknown when gatekeeper.FailsClosed:
                return Refusal.Unchecked;
        }
        if (cooldowns.Holds(address))
        {
            metrics.Refused(LimitKind.SupersedeCooldown);
            if (options.SupersedeCooldown.IsEnforced)
                return Refusal.CoolingDown;
        }
        return new Verdict(address, result.SessionKey, null);
    }
}
