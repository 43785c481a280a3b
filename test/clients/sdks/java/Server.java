import com.posthog.server.PostHog;
import com.posthog.server.PostHogCaptureOptions;
import com.posthog.server.PostHogConfig;
import com.posthog.server.PostHogInterface;
import java.util.Map;

/** Sends events with posthog-server. Arguments: URL of the server, token, number of events. */
class Server {
  public static void main(String[] arguments) throws InterruptedException {
    PostHogConfig config =
        PostHogConfig.builder(arguments[1]).host(arguments[0]).flushAt(10).flushIntervalSeconds(1).build();
    PostHogInterface posthog = PostHog.with(config);
    int count = Integer.parseInt(arguments[2]);
    for (int index = 0; index < count; index += 1) {
      PostHogCaptureOptions options =
          PostHogCaptureOptions.builder()
              .property("index", index)
              .property("name", "Ada \uD83D\uDE80")
              .build();
      posthog.capture("user-" + index, "ordered", options);
    }
    posthog.group("user-1", "company", "id:5", Map.of("size", 11));
    Object flag = posthog.getFeatureFlag("user-1", "some-flag", false);
    // close() of this version drops what is queued, so leave the timer two intervals.
    Thread.sleep(2000);
    posthog.close();
    System.out.println("{\"flag\":" + flag + "}");
  }
}
