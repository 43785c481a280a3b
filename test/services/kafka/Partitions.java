import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.serialization.StringSerializer;

/** Prints the partition that a Java producer chooses for each key (a line of the input) and each partition count (an argument). */
public class Partitions {
  public static void main(String[] args) throws IOException {
    var keys = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    var serializer = new StringSerializer();
    for (String key = keys.readLine(); key != null; key = keys.readLine()) {
      byte[] bytes = serializer.serialize("topic", key);
      for (String partitions : args) {
        System.out.println(BuiltInPartitioner.partitionForKey(bytes, Integer.parseInt(partitions)));
      }
    }
  }
}
