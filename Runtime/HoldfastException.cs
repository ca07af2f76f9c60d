using Holdfast.Actors;
using Holdfast.KernelBridge;

namespace Holdfast.Runtime;

/// <summary>How the program ends; see the table of exit codes in the help.</summary>
internal static class ExitStatus
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int CannotConnect = 3;
    public const int NotPermitted = 4;
    public const int TimedOut = 5;

    /// <summary>Of <c>run</c> and a foreground <c>restore</c>, for errors of Holdfast's own, as env(1) does.</summary>
    public const int HoldfastFailed = 125;
    public const int CannotExecute = 126;
    public const int NotFound = 127;
}

/// <summary>An error that a user is shown: one line, a stable code, an exit status.</summary>
internal sealed class HoldfastException : Exception
{
    public HoldfastException(string code, string message, int status = ExitStatus.Failed, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Status = status;
    }

    public HoldfastException(OperationFailure failure)
        : base(failure.Message)
    {
        Code = failure.Code;
        Phase = failure.Phase;
        Refusals = failure.Refusals;
        Detail = failure.Detail;
        Status = StatusOf(failure.Code, failure.TimedOut);
    }

    public string Code { get; }

    public int Status { get; }

    public string? Phase { get; init; }

    public IReadOnlyList<Refusal> Refusals { get; init; } = [];

    public string Detail { get; init; } = "";

    /// <summary>Makes one of whatever was thrown.</summary>
    public static HoldfastException From(Exception e) => e switch
    {
        HoldfastException known => known,
        OperationCanceledException => new HoldfastException("cancelled", "interrupted", 130, e),
        UnauthorizedAccessException => new HoldfastException("not_permitted", e.Message, ExitStatus.NotPermitted, e),
        _ => new HoldfastException(OperationFailure.From("", e)) { Phase = null, Detail = e.ToString() },
    };

    private static int StatusOf(string code, bool timedOut) => code switch
    {
        _ when timedOut => ExitStatus.TimedOut,
        "device.unreachable" => ExitStatus.CannotConnect,
        "device.certificate" or "device.denied" => ExitStatus.NotPermitted,
        "launch.not-found" => ExitStatus.NotFound,
        "launch.not-executable" => ExitStatus.CannotExecute,
        _ when code == "not_permitted" || code.StartsWith("rights.", StringComparison.Ordinal) || code.EndsWith(".not_permitted", StringComparison.Ordinal)
            => ExitStatus.NotPermitted,
        _ => ExitStatus.Failed,
    };
}
