using System.Diagnostics;

namespace Archipelago.Core.Internals;

/// <summary>
/// Where a lock-free type is about to read or write what threads share, it says so here, in debug builds; release builds have no trace of it. Tests stop threads there, and so go through
/// every order in which the steps of two operations can follow one another.
/// </summary>
internal static class Interleaving
{
    /// <summary>Called by this thread before each step; null for all threads but those of such a test.</summary>
    [field: ThreadStatic]
    public static Action<string>? Stepping { get; set; }

    /// <summary>The next thing that this thread does to what is shared.</summary>
    [Conditional("DEBUG")]
    public static void Step(string what) => Stepping?.Invoke(what);

    /// <summary>What a thread says that can do nothing until another has done something.</summary>
    public const string Waits = "waits for somebody else";
}
