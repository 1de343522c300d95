using System.CommandLine;

namespace Archipelago.Cli;

/// <summary>Rules for the values of options.</summary>
internal static class OptionRules
{
    /// <summary>Refuses a value with this message unless it fits; text that is no value at all the parser refuses itself.</summary>
    public static Option<T> Require<T>(this Option<T> option, Predicate<T> fits, string message)
    {
        option.Validators.Add(result =>
        {
            T? value;
            try
            {
                value = result.GetValueOrDefault<T>();
            }
            catch (InvalidOperationException)
            {
                return;
            }
            if (value is null || !fits(value))
                result.AddError(message);
        });
        return option;
    }
}
